"""The history of the WebUI's images: how runs begin and end, told twice or late as events are."""

import pytest
from webui_fakes import HEAD, LATER, NOW, OURS, SOON, URL, FakeHistory, FakePeople, FakePipeline, image

from atelier.contract.documents import Invalid
from atelier.contract.webui import RunChange, pushed, run_change
from atelier.lambdas.domain.webui import Commit, Run
from atelier.lambdas.services.webui import runs

BUILT = {
    "Build": {"UPSTREAM_COMMIT": HEAD, "UPSTREAM_URL": URL, "IMAGE_TAG": "a-c", "IMAGE_URI": image()},
}


class World:
    """A run of the pipeline, and what is remembered of it."""

    def __init__(self):
        self.pipeline, self.history, self.people = FakePipeline(), FakeHistory(), FakePeople()
        self.run = self.pipeline.start("token", HEAD)

    def event(self, state, at=NOW, run=None):
        change = RunChange(run=run or self.run, state=state, at=at)
        return runs.follow(change, world=runs.World(**{each: getattr(self, each) for each in PARTS}))


PARTS = ("pipeline", "history", "people")


@pytest.fixture
def world():
    return World()


def test_a_run_that_begins_is_written_down(world):
    begun = world.event("STARTED")

    assert ("building", NOW, HEAD, OURS, "upstream") == (
        begun.status,
        begun.started,
        begun.upstream,
        begun.source,
        begun.trigger,
    )
    assert begun == world.history.run(world.run)


def test_a_run_that_failed_keeps_its_reason_and_what_was_built(world):
    world.event("STARTED")
    world.pipeline.end(world.run, failed="Test", reason="Test: it shows no tab", outputs=BUILT)

    ended = world.event("FAILED", LATER)

    assert ("failed", "Test: it shows no tab", LATER) == (ended.status, ended.reason, ended.ended)
    assert ("a-c", image(), URL) == (ended.tag, ended.image, ended.upstream_url)
    assert [("The WebUI's image failed", True)] == [
        (subject, "it shows no tab" in text) for subject, text in world.people.told
    ]


def test_an_event_that_comes_twice_changes_and_tells_nothing(world):
    world.event("STARTED")
    world.event("STARTED", SOON)
    world.pipeline.end(world.run, failed="Build", reason="Build: broken")
    ended = world.event("FAILED", LATER)

    assert ended == world.event("FAILED", LATER)
    assert (NOW, 1) == (ended.started, len(world.people.told))


def test_a_beginning_that_is_told_after_the_end_changes_nothing(world):
    world.pipeline.end(world.run, failed="Build", reason="Build: broken")
    ended = world.event("FAILED", LATER)

    assert ended == world.event("STARTED", NOW)


@pytest.mark.parametrize("state", ["FAILED", "SUPERSEDED", "STOPPED", "CANCELED", "RESUMED"])
def test_what_is_published_stays_published(world, state):
    world.history.save_run(Run(run=world.run, status="published", started=NOW))

    assert "published" == world.event(state).status
    assert [] == world.people.told


def test_a_rejection_is_no_failure_and_keeps_what_was_said(world):
    world.pipeline.end(world.run, failed="Approve", reason="Approve: Rejected by ann: too slow")

    assert ("rejected", "Approve: Rejected by ann: too slow") == (
        (ended := world.event("FAILED")).status,
        ended.reason,
    )
    assert ["The WebUI's image was rejected"] == world.people.subjects


@pytest.mark.parametrize(
    ("state", "status"), [("SUPERSEDED", "superseded"), ("STOPPED", "stopped"), ("CANCELED", "stopped")]
)
def test_a_run_that_was_overtaken_or_stopped_troubles_nobody(world, state, status):
    assert status == world.event(state).status
    assert [] == world.people.told


def test_a_stage_that_is_tried_again_is_building_again(world):
    world.history.save_commit(Commit(id=HEAD, status="started", run=world.run))
    world.pipeline.end(world.run, failed="Test", reason="Test: a hiccup")
    world.event("FAILED")
    assert "failed" == world.history.commit(HEAD).status

    resumed = world.event("RESUMED", LATER)

    assert ("building", None) == (resumed.status, resumed.ended)
    assert ("started", None) == ((commit := world.history.commit(HEAD)).status, commit.again)


def test_a_run_that_fails_before_its_start_is_kept_counts_for_its_commit(world):
    world.history.save_commit(Commit(id=HEAD, status="starting"))
    world.pipeline.end(world.run, failed="Source", reason="Source: no branch")
    world.event("FAILED")

    assert ("failed", world.run) == ((commit := world.history.commit(HEAD)).status, commit.run)


def test_a_run_of_ours_that_fails_says_nothing_against_the_commit(world):
    world.history.save_commit(Commit(id=HEAD, status="built", run="another"))
    run = world.pipeline.start("push")
    world.pipeline.end(run, failed="Test", reason="Test: our tab is broken", outputs=BUILT)

    ended = world.event("FAILED", run=run)

    assert ("push", HEAD) == (ended.trigger, ended.upstream)
    assert "built" == world.history.commit(HEAD).status


def test_a_commit_that_nobody_resolved_is_named_by_its_word(world):
    run = world.pipeline.start("push")
    world.pipeline.end(run, failed="Source", reason="Source: no branch")

    assert "latest-good" == world.event("FAILED", run=run).upstream


def test_people_hear_whether_it_is_tried_again(world):
    for failures, words in ((0, "It is tried again at"), (2, "It is not tried again by itself")):
        told = World()
        told.history.save_commit(Commit(id=HEAD, status="started", run=told.run, failures=failures))
        told.pipeline.end(told.run, failed="Build", reason="Build: broken")
        told.event("FAILED")

        assert words in told.people.told[0][1]


def test_events_are_read_as_they_come():
    detail = {"execution-id": "r", "state": "FAILED"}
    event = {"time": "2001-01-01T12:00:00Z", "detail": detail}
    push = {"detail": {"repositoryName": "atelier", "commitId": OURS, "oldCommitId": HEAD}}

    assert RunChange(run="r", state="FAILED", at=NOW) == run_change(event)
    assert ("atelier", OURS, HEAD) == ((read := pushed(push)).repository, read.new, read.old)


@pytest.mark.parametrize("event", [{}, {"detail": None}, {"detail": {}}, {"time": "x", "detail": {}}])
def test_what_is_no_such_event_is_refused_by_what_is_missing(event):
    with pytest.raises(Invalid, match="not a CodePipeline state change"):
        run_change(event)
    with pytest.raises(Invalid, match="not a CodeCommit state change"):
        pushed(event)
