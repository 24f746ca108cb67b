"""The one wrap of the WebUI, and the route in front of its API."""

import json
from types import SimpleNamespace

import pytest

from atelier_webui import wrap
from atelier_webui.api import selecting
from atelier_webui.errors import InvalidAccount, JobFailed, Refusal, Unreachable, Unsupported
from atelier_webui.request import AUTOMATIC, CHOICE, Switches, status_of, switches


class Cloud:
    """A script of ours that is wanted when its first argument says so."""

    makes_images_elsewhere = True

    def is_wanted(self, runner, args):
        return args[1]

    def make(self, p, args):
        return f"{p} made elsewhere"


def runner_class(*scripts):
    class Runner:
        alwayson_scripts = scripts

        def run(self, p, *args):
            return f"{p} made here"

    return Runner


def test_only_a_request_that_wants_the_cloud_goes_there():
    runner = runner_class(Cloud())
    wrap.install(runner)

    assert "form made elsewhere" == runner().run("form", 0, True)
    assert "form made here" == runner().run("form", 0, False)


def test_a_runner_without_our_script_is_as_it_was():
    runner = runner_class(SimpleNamespace())
    wrap.install(runner)

    assert "form made here" == runner().run("form", 0, True)


def test_the_wrap_is_put_on_once():
    runner = runner_class(Cloud())
    wrap.install(runner)
    once = runner.run
    wrap.install(runner)

    assert once is runner.run


def test_the_wrap_is_put_on_once_though_another_extension_wraps_it_too():
    runner = runner_class(Cloud())
    wrap.install(runner)
    ours = runner.run
    runner.run = lambda self, p, *args: ours(self, p, *args)
    theirs = runner.run
    wrap.install(runner)

    assert theirs is runner.run


def test_controls_that_say_nothing_are_as_they_are_by_themselves():
    assert Switches(on=True, account="studio") == switches([True, "studio", None])
    assert Switches() == switches([])


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [("sd-async-fox", "Async"), ("sd-real-time-fox", "Real-time"), (AUTOMATIC, "Async"), ("", "Async")],
)
def test_an_endpoints_kind_is_read_off_its_name(endpoint, kind):
    assert kind == Switches(endpoint=endpoint).choice.kind


def test_automatic_names_nothing():
    choice = Switches().choice

    assert ("", "") == (choice.endpoint, choice.checkpoint)


def asked(**more):
    return json.dumps({"prompt": "a fox", **more}).encode()


@pytest.mark.parametrize("name", ["Atelier", "atelier"])
def test_a_request_of_the_api_that_switches_us_on_selects_our_entry(name):
    body = json.loads(selecting(asked(alwayson_scripts={name: {"args": [True, "studio"]}})))

    assert (CHOICE, [], "a fox") == (body["script_name"], body["script_args"], body["prompt"])


@pytest.mark.parametrize(
    "body",
    [
        asked(),
        asked(alwayson_scripts={"Atelier": {"args": [False]}}),
        asked(alwayson_scripts={"Atelier": {"args": []}}),
        asked(alwayson_scripts={"Atelier": {}}),
        asked(alwayson_scripts={"Atelier": [True]}),
        asked(alwayson_scripts={"ControlNet": {"args": [True]}}),
        asked(alwayson_scripts="Atelier"),
        asked(script_name="X/Y/Z plot", alwayson_scripts={"Atelier": {"args": [True]}}),
        b"[1, 2]",
        b"no JSON",
        b"\xff\xfe",
        b"",
    ],
)
def test_every_other_request_is_handed_on_as_it_came(body):
    assert body == selecting(body)


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (InvalidAccount("none"), 422),
        (Unsupported(["X/Y/Z plot"]), 422),
        (Refusal(403, "no"), 403),
        (Unreachable("gone"), 504),
        (JobFailed("7", "broke"), 502),
    ],
)
def test_the_api_answers_a_problem_with_its_status(problem, status):
    assert status == status_of(problem)
