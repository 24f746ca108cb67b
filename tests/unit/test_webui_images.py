"""Publishing an image of the WebUI: the latest one moves last, and nothing is published by halves."""

import json

import pytest
from webui_fakes import (
    HEAD,
    LATER,
    NEXT,
    NOW,
    OURS,
    URL,
    FakeHistory,
    FakeLatest,
    FakePeople,
    image,
    publication,
)

from atelier.contract.documents import Invalid
from atelier.contract.webui import Push
from atelier.lambdas.domain.webui import Commit, Run, Watch
from atelier.lambdas.errors import Conflict, NotFound
from atelier.lambdas.services.webui import changes, images


class World:
    def __init__(self, **values):
        self.latest, self.history, self.people = FakeLatest(dict(values)), FakeHistory(), FakePeople()

    def publish(self, now=NOW, **changes):
        return images.publish(publication(**changes), now=now, world=images.World(**vars(self)))


@pytest.fixture
def world():
    return World()


def test_an_image_is_the_latest_one_with_where_it_comes_from(world):
    step = world.publish()

    assert (image(), HEAD) == (world.latest.get("image"), world.latest.get("upstream-commit"))
    known = json.loads(world.latest.get("provenance"))
    assert (URL, OURS, NOW, 1000000, 12.5, "") == tuple(
        known[each]
        for each in ("upstream_url", "source", "published", "size_bytes", "startup_seconds", "previous")
    )
    assert {"IMAGE_URI": image(), "UPSTREAM_COMMIT": HEAD} == step.outputs


def test_the_images_parameter_moves_last(world):
    world.publish()

    assert ["provenance", "upstream-commit", "image"] == world.latest.order


@pytest.mark.parametrize("name", ["provenance", "upstream-commit", "image"])
def test_what_fails_on_the_way_leaves_the_old_image_the_latest(name):
    world = World(image=image("0"))
    world.latest.refuses = name

    with pytest.raises(Conflict):
        world.publish()

    assert image("0") == world.latest.get("image")
    assert ({}, []) == (world.history.items, world.people.told)


def test_the_history_and_people_hear_of_it(world):
    world.history.save_run(Run(run="run-1", status="building", started=NOW, upstream="latest-good"))
    world.publish(LATER)

    run = world.history.run("run-1")
    assert ("published", NOW, LATER, HEAD, image()) == (
        run.status,
        run.started,
        run.ended,
        run.upstream,
        run.image,
    )
    assert (1000000, 12.5, f"{HEAD[:12]}-{OURS[:12]}") == (run.size_bytes, run.startup_seconds, run.tag)
    assert "built" == world.history.commit(HEAD).status
    assert ["A new image of the WebUI"] == world.people.subjects
    assert "the first" in world.people.told[0][1]


def test_a_commit_that_failed_before_is_built_now(world):
    world.history.save_commit(Commit(id=HEAD, status="failed", failures=2, again=LATER, reason="broken"))
    world.publish()

    commit = world.history.commit(HEAD)
    assert ("built", 0, None, None) == (commit.status, commit.failures, commit.again, commit.reason)


@pytest.mark.parametrize(
    ("trigger", "status", "latest", "expected"),
    [
        ("push", "failed", HEAD, "superseded"),
        ("push", "built", NEXT, "superseded"),
        ("push", "built", HEAD, "built"),
        ("push", "rejected", HEAD, "rejected"),
        ("upstream", "failed", HEAD, "failed"),
        ("upstream", "built", NEXT, "built"),
    ],
    ids=["mended", "overtaken", "a person went back before", "refused", "not ours", "a person goes back"],
)
def test_a_published_push_has_a_head_built_again_that_failed_or_that_it_overtook(
    trigger, status, latest, expected
):
    world = World(**{"upstream-commit": latest})
    world.history.save_watch(Watch(head=NEXT))
    world.history.save_commit(Commit(id=NEXT, status=status, failures=3, reason="Build: no such file"))
    world.history.save_run(Run(run="run-1", status="building", started=NOW, trigger=trigger))
    world.publish()

    assert expected == world.history.commit(NEXT).status
    assert HEAD == world.latest.get("upstream-commit")


def test_the_image_before_is_known_for_the_way_back(world):
    world.publish()
    world.publish(run="run-2", image=image("2"))

    assert image() == json.loads(world.latest.get("provenance"))["previous"]


def test_a_step_that_is_taken_twice_changes_nothing(world):
    world.publish()
    world.publish(run="run-2", image=image("2"))
    world.publish(run="run-2", image=image("2"))

    assert image() == json.loads(world.latest.get("provenance"))["previous"]
    assert 2 == len(world.people.told)


def test_another_writer_of_the_same_record_is_waited_for(world):
    class Contested(FakeHistory):
        losses = 3

        def save_run(self, value):
            if self.losses:
                self.losses -= 1
                raise Conflict("changed meanwhile")
            return super().save_run(value)

    world.history = Contested()
    world.publish()

    assert "published" == world.history.run("run-1").status


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "registry/webui:latest"}, "names no image by its digest"),
        ({"image": ""}, "names no image by its digest"),
        ({"upstream": "latest-good"}, "upstream is 'latest-good', not a commit"),
        ({"source": ""}, "source is '', not a commit"),
        ({"size_bytes": ""}, "SIZE_BYTES is '', no number"),
        ({"size_bytes": "-1"}, "SIZE_BYTES is '-1', no number"),
        ({"startup_seconds": "nan"}, "STARTUP_SECONDS is 'nan', no number"),
        ({"startup_seconds": "soon"}, "STARTUP_SECONDS is 'soon', no number"),
    ],
)
def test_what_build_and_test_did_not_say_is_not_published(world, changes, words):
    with pytest.raises(Invalid, match=words):
        world.publish(**changes)

    assert ({}, {}) == (world.latest.values, world.history.items)


class FakeDifferences:
    def __init__(self, *paths):
        self._paths = paths

    def paths(self, push):
        if self._paths == ("gone",):
            raise NotFound("the old commit is gone")
        yield from self._paths


class FakeStarts:
    def __init__(self):
        self.tokens = []

    def start(self, token, upstream=None):
        assert upstream is None
        self.tokens.append(token)
        return "run-1"


@pytest.mark.parametrize(
    ("paths", "starts"),
    [
        (["README.md", "extension/scripts/atelier.py"], True),
        (["images/webui/Dockerfile"], True),
        (["buildspecs/webui-test.yml"], True),
        (["images/training/diffusion/diffusion/forms.py"], True),
        (["images/training/diffusion/diffusion/training.py"], False),
        (["images/training/publish.py", "docs/extension/README.md", "buildspecs/training.yml"], False),
        ([], False),
        (["gone"], True),
    ],
)
def test_a_push_starts_the_pipeline_when_it_touches_the_image(paths, starts):
    pipeline = FakeStarts()
    push = Push(repository="atelier", new=OURS, old=HEAD)

    run = changes.take(push, "event-1", differences=FakeDifferences(*paths), pipeline=pipeline)

    assert (["event-1"] if starts else []) == pipeline.tokens
    assert ("run-1" if starts else None) == run


def test_a_new_branch_touches_everything():
    assert changes.touches(Push(repository="atelier", new=OURS), differences=FakeDifferences())
