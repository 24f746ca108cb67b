"""Downloads: what comes, what does not, and what is left of it."""

import pytest
from checkpoint_fakes import NOW, Killed, Studio, caller, safetensors

from atelier.contract.api.checkpoints import CreateCheckpointRequest
from atelier.lambdas.errors import Busy, Failed
from atelier.lambdas.services.middleware import checkpoints, downloads
from atelier.lambdas.services.middleware.downloads import Limits, parts

URL = "https://a.example/a.safetensors"
UNNAMED = "https://a.example/download/7"
LIMITS = Limits(largest=1000, pickled=False, is_time_left=lambda: True)


@pytest.fixture
def studio():
    return Studio()


def ask(studio, *urls, id="1"):
    request = CreateCheckpointRequest(checkpoint_type="Lora", urls=urls)
    plan = checkpoints.plan(request, id=id, now=NOW, caller=caller(), pickled=False)
    return checkpoints.fetch(plan, now=NOW, world=studio.world, jobs=studio.jobs)


def run(studio, position=0, id="1", limits=LIMITS):
    return downloads.fetch(id, position, world=studio.world, web=studio.web, limits=limits)


def found(studio, id="1"):
    return studio.checkpoints.get(id)


def test_what_was_fetched_is_active_and_forgets_where_it_came_from(studio):
    body = safetensors()
    studio.web.files = {URL: [body[:3], body[3:20], body[20:]]}
    ask(studio, URL)

    assert "done" == run(studio)

    assert "Active" == found(studio).status
    assert () == found(studio).sources
    assert {"checkpoints/Lora/1/a.safetensors": body} == studio.store.objects
    assert "nothing to do" == run(studio)


def test_a_checkpoint_is_active_with_the_last_of_its_files(studio):
    studio.web.files = {URL: [safetensors()], UNNAMED: [safetensors()]}
    studio.web.name = "b.safetensors"
    ask(studio, URL, UNNAMED)

    assert "done" == run(studio, 1)
    assert "Initial" == found(studio).status
    assert "nothing to do" == run(studio, 1)
    assert "done" == run(studio, 0)
    assert "Active" == found(studio).status
    assert {"a.safetensors", "b.safetensors"} == set(found(studio).names)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../../etc/passwd", "plain name"),
        ("a.ckpt", "pickled"),
        ("index.html", "safetensors"),
        ("", "safetensors"),
        ("taken.safetensors", "already exists"),
    ],
)
def test_a_name_that_the_other_side_gives_must_be_as_good_as_any(studio, name, why):
    studio.web.files = {UNNAMED: [safetensors()], "https://a.example/taken.safetensors": []}
    studio.web.name = name
    ask(studio, "https://a.example/taken.safetensors", id="0")
    ask(studio, UNNAMED)

    assert why in run(studio)

    assert "Disabled" == found(studio).status
    assert why in found(studio).error
    assert ({}, {}) == (studio.store.objects, studio.store.uploads)


@pytest.mark.parametrize(
    ("chunks", "size", "why"),
    [
        ([b"<html>not a model</html>"], None, "not a safetensors file"),
        ([], None, "not a safetensors file"),
        ([safetensors()[:-1]], None, "not a whole safetensors file"),
        ([safetensors(), b"0" * 1000], None, "more than 1000 bytes"),
        ([safetensors()], 1001, "more than 1000 bytes"),
        ([safetensors(), Failed("broken")], None, "broken"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_disables_its_checkpoint(studio, chunks, size, why):
    studio.web.files, studio.web.size = {URL: chunks}, size
    ask(studio, URL)

    assert why in run(studio)

    assert ("Disabled", ()) == (found(studio).status, found(studio).sources)
    assert why in found(studio).error
    assert ({}, {}, {}) == (studio.store.objects, studio.store.uploads, studio.checkpoints.claims)


def test_a_file_that_takes_too_long_is_given_up(studio):
    studio.web.files = {URL: [safetensors()]}
    ask(studio, URL)

    outcome = run(studio, limits=Limits(largest=1000, pickled=False, is_time_left=lambda: False))

    assert "failed: the file takes too long to come" == outcome
    assert {} == studio.store.uploads


@pytest.mark.parametrize("file", [Busy("does not answer"), [safetensors()[:20], Busy("broke off")]])
def test_what_may_come_later_is_tried_three_times(studio, file):
    studio.web.files = {URL: file}
    ask(studio, URL)

    for _ in range(2):
        with pytest.raises(Busy):
            run(studio)
        assert "Initial" == found(studio).status
        assert {} == studio.store.uploads

    assert "failed" in run(studio)
    assert "Disabled" == found(studio).status


def test_a_file_that_ends_too_early_is_tried_again(studio):
    studio.web.files, studio.web.size = {URL: [safetensors()]}, 999
    ask(studio, URL)

    with pytest.raises(Busy, match="too early"):
        run(studio)

    studio.web.size = len(safetensors())
    assert "done" == run(studio)


def test_a_job_killed_anywhere_is_done_again(studio):
    studio.web.files = {UNNAMED: [safetensors()]}
    studio.web.name = "b.safetensors"
    ask(studio, UNNAMED)

    for writes in range(20):
        studio.life.left = writes
        try:
            run(studio)
        except Killed:
            continue
        break
    studio.life.left = None

    assert "Active" == found(studio).status
    assert 1 == len(studio.store.objects)


def test_a_checkpoint_deleted_while_it_comes_leaves_nothing(studio):
    def chunks():
        yield safetensors()[:20]
        checkpoints.delete(["1"], world=studio.world)
        yield safetensors()[20:]

    studio.web.files = {URL: chunks()}
    ask(studio, URL)

    assert "the upload is gone" == run(studio)
    assert ({}, {}, {}) == (studio.checkpoints.kept, studio.store.objects, studio.store.uploads)


def test_an_attempt_that_another_one_overtook_leaves_the_other_s_file(studio):
    def chunks():
        yield safetensors()[:20]
        studio.web.files[URL] = [safetensors()]
        assert "done" == run(studio)
        yield safetensors()[20:]

    studio.web.files = {URL: chunks()}
    ask(studio, URL)

    assert "the upload is gone" == run(studio)
    assert "Active" == found(studio).status
    assert 1 == len(studio.store.objects)


def test_when_one_file_fails_the_others_leave_nothing(studio):
    studio.web.files = {URL: [safetensors()], UNNAMED: Failed("answers 404")}
    ask(studio, URL, UNNAMED)

    run(studio, 0)
    assert "failed: answers 404" == run(studio, 1)

    assert {} == studio.store.objects
    assert "nothing to do" == run(studio, 0)


@pytest.mark.parametrize(
    ("lengths", "expected"), [([0], [0]), ([3, 3], [4, 2]), ([8], [4, 4]), ([9], [4, 4, 1])]
)
def test_parts_have_a_size_but_for_the_last(lengths, expected):
    assert expected == [len(each) for each in parts((b"x" * each for each in lengths), 4)]
