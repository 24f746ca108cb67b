"""A look at upstream: each commit is built once, and what is in the way is told once."""

from dataclasses import replace

import pytest
from webui_fakes import (
    HEAD,
    LATER,
    NEXT,
    NOW,
    SOON,
    TOMORROW,
    URL,
    FakeDeclarations,
    FakeHistory,
    FakePeople,
    FakePipeline,
    FakeUpstreams,
)

from atelier.contract.webui import RunChange
from atelier.lambdas.domain.webui import Commit
from atelier.lambdas.errors import Busy, Conflict, NotFound, Throttled
from atelier.lambdas.services.webui import runs, tracking


class World:
    """Everything that a look needs, faked."""

    def __init__(self):
        self.declarations, self.upstreams = FakeDeclarations(), FakeUpstreams()
        self.pipeline, self.history, self.people = FakePipeline(), FakeHistory(), FakePeople()

    def look(self, now=NOW):
        return tracking.look(now=now, world=tracking.World(**vars(self)))

    def event(self, run, state, at=NOW):
        parts = {name: getattr(self, name) for name in ("pipeline", "history", "people")}
        return runs.follow(RunChange(run=run, state=state, at=at), world=runs.World(**parts))

    def fail(self, run, at=NOW, **facts):
        self.pipeline.end(run, failed="Build", reason="Build: no such file", **facts)
        self.event(run, "FAILED", at)


@pytest.fixture
def world():
    return World()


def test_a_head_that_is_new_is_built(world):
    look = world.look()

    assert ("started", HEAD, "run-1") == (look.outcome, look.head, look.run)
    assert {f"{HEAD}-1": HEAD} == world.pipeline.started
    assert "refs/heads/master" == world.upstreams.asked[0].reference


def test_a_head_that_is_known_starts_nothing(world):
    world.look()

    assert ["unchanged", "unchanged"] == [world.look(SOON).outcome, world.look(LATER).outcome]
    assert 1 == len(world.pipeline.started)


def test_of_two_commits_in_one_interval_the_newest_is_built(world):
    world.look()
    world.upstreams.at = "d" * 40  # and what was the head for a moment
    world.upstreams.at = NEXT

    world.look(SOON)

    assert [HEAD, NEXT] == list(world.pipeline.started.values())


def test_two_looks_at_one_time_start_one_run(world):
    class Slow(FakeHistory):
        """A second look comes between reading and writing."""

        def save_commit(self, value):
            if not self.items:
                super().save_commit(value)
                raise Conflict("changed meanwhile")
            return super().save_commit(value)

    world.history = Slow()

    first, second = world.look(), world.look()

    assert ("unchanged", "started") == (first.outcome, second.outcome)
    assert {f"{HEAD}-1": HEAD} == world.pipeline.started


def test_a_look_that_died_before_the_start_is_taken_up_with_the_same_token(world):
    world.pipeline.fault = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        world.look()
    world.pipeline.fault = None

    assert "started" == world.look(SOON).outcome
    assert {f"{HEAD}-1": HEAD} == world.pipeline.started


def test_a_look_that_died_after_the_start_starts_no_second_run(world):
    world.look()
    begun = world.history.items[f"commit#{HEAD}"]
    world.history.items[f"commit#{HEAD}"] = replace(begun, status="starting", run=None)

    assert "run-1" == world.look(SOON).run
    assert 1 == len(world.pipeline.started)


def test_a_commit_that_failed_is_tried_again_with_growing_pauses_and_then_left_alone(world):
    run, now, tried = world.look().run, NOW, []
    for _ in range(3):
        world.fail(run, now)
        early = world.look(now)
        tried.append(early.outcome)
        again = world.history.commit(HEAD).again
        if again:
            assert early.summary.endswith(f"it is tried again at {again}")
            look = world.look(again)
            assert "started" == look.outcome
            run, now = look.run, again

    assert ["waiting", "waiting", "failed"] == tried
    assert 3 == len(world.pipeline.started)
    look = world.look(TOMORROW)
    assert ("failed", 3) == (look.outcome, world.history.commit(HEAD).failures)
    assert "Build: no such file; it was tried 3 times and is left alone" in look.summary


def test_pauses_grow():
    assert sorted(runs.PAUSES) == list(runs.PAUSES)
    assert 2 == len(runs.PAUSES)


def test_what_follows_a_commit_that_failed_is_built_at_once(world):
    world.fail(world.look().run)
    world.upstreams.at = NEXT

    assert ("started", NEXT) == ((look := world.look(SOON)).outcome, look.head)


def test_a_run_that_was_overtaken_is_begun_again_while_its_commit_is_the_head(world):
    run = world.look().run
    world.pipeline.end(run, "Superseded")
    world.event(run, "SUPERSEDED")

    assert "started" == world.look(SOON).outcome
    assert [f"{HEAD}-1", f"{HEAD}-2"] == list(world.pipeline.started)


@pytest.mark.parametrize(
    ("status", "state", "failed"), [("Failed", "FAILED", "Approve"), ("Stopped", "STOPPED", None)]
)
def test_what_a_person_rejected_or_stopped_is_left_alone(world, status, state, failed):
    run = world.look().run
    world.pipeline.end(run, status, failed=failed, reason="Approve: Rejected by ann")
    world.event(run, state)

    assert "unchanged" == world.look(TOMORROW).outcome
    assert 1 == len(world.pipeline.started)


def test_a_head_that_was_built_before_and_comes_back_is_built_again(world):
    world.look()
    built = replace(world.history.commit(HEAD), status="built")
    world.history.save_commit(built)
    world.upstreams.at = NEXT
    world.look(SOON)
    world.upstreams.at = HEAD  # the history was rewritten

    assert ["returned", "started"] == [world.look(LATER).outcome for _ in range(2)]
    assert f"{HEAD}-2" in world.pipeline.started
    assert "unchanged" == world.look(TOMORROW).outcome


def test_a_server_that_tells_of_the_past_for_a_moment_has_nothing_built(world):
    world.look()
    world.history.save_commit(replace(world.history.commit(HEAD), status="built"))
    outcomes = []
    for world.upstreams.at in (NEXT, HEAD, NEXT, HEAD, NEXT):
        outcomes.append(world.look(SOON).outcome)

    assert ["started", "returned", "unchanged", "returned", "unchanged"] == outcomes
    assert 2 == len(world.pipeline.started)


def test_an_end_that_no_event_told_is_noticed_later(world):
    run = world.look().run
    world.pipeline.end(run, failed="Build", reason="Build: no such file")

    assert "is being built" in world.look(LATER).summary
    assert "ended failed, which no event told" in world.look(TOMORROW).summary
    assert "failed" == world.history.commit(HEAD).status
    assert ["The WebUI's image failed"] == world.people.subjects


def test_a_run_that_waits_for_a_person_is_left_to_wait(world):
    world.look()

    assert "is being built" in world.look(TOMORROW).summary
    assert "started" == world.history.commit(HEAD).status


@pytest.mark.parametrize(
    ("fault", "subject"),
    [
        (Busy("git.example does not answer"), "The WebUI's upstream does not answer"),
        (NotFound("the branch master is not there"), "The WebUI's upstream is not there"),
        (Throttled("asked too often"), "The WebUI's upstream asks for patience"),
    ],
)
def test_trouble_is_told_once_and_told_again_when_it_is_over(world, fault, subject):
    world.upstreams.fault = fault
    outcomes = [world.look(now).outcome for now in (NOW, SOON, LATER)]
    world.upstreams.fault = None

    assert ["trouble"] * 3 == outcomes
    assert "started" == world.look(TOMORROW).outcome
    assert [subject, "The WebUI's upstream is followed again"] == world.people.subjects
    assert NOW in world.people.told[1][1]
    world.look(TOMORROW)
    assert 2 == len(world.people.told)


def test_another_kind_of_trouble_is_told_too(world):
    world.upstreams.fault = Busy("no route")
    world.look()
    world.upstreams.fault = NotFound("the branch is gone")
    world.look(SOON)

    assert 2 == len(world.people.told)
    assert SOON == world.history.watch().since


def test_upstream_is_not_asked_before_it_said(world):
    world.upstreams.fault = Throttled("asked too often", 1200)
    world.look()
    world.upstreams.fault = None

    assert "waiting" == world.look(SOON).outcome
    assert 1 == len(world.upstreams.asked)
    assert "started" == world.look(LATER).outcome


def test_upstream_cannot_ask_for_patience_for_ever(world):
    world.upstreams.fault = Throttled("asked too often", 10**9)
    world.look()

    assert TOMORROW == world.history.watch().later


def test_trouble_loses_no_commit(world):
    world.look()
    world.upstreams.fault = Busy("no route")
    world.look(SOON)
    world.upstreams.fault, world.upstreams.at = None, NEXT

    assert ("started", NEXT) == ((look := world.look(LATER)).outcome, look.head)


def test_a_pipeline_that_takes_no_run_now_is_trouble_and_the_commit_is_not_lost(world):
    world.pipeline.fault = Busy("CodePipeline starts no run now")
    assert "trouble" == world.look().outcome
    assert ["The WebUI's pipeline does not answer"] == world.people.subjects
    world.pipeline.fault = None

    assert "started" == world.look(SOON).outcome


def test_before_anything_is_pushed_there_is_nothing_to_follow(world):
    world.declarations.said = None

    assert "nothing" == world.look().outcome
    assert [] == world.upstreams.asked + world.people.told


def test_a_declaration_that_is_wrong_is_told_once(world):
    world.declarations.said = "[upstream"

    assert "trouble" == world.look().outcome
    world.look(SOON)
    assert ["The WebUI's upstream is declared wrongly"] == world.people.subjects
    assert "is not TOML" in world.people.told[0][1]


def test_a_pin_is_built_and_nothing_is_asked(world):
    world.declarations.said = f'[upstream]\nrepository = "{URL}"\nbranch = "main"\npin = "{NEXT}"\n'

    assert ("started", NEXT) == ((look := world.look()).outcome, look.head)
    assert [] == world.upstreams.asked


def test_a_commit_that_someone_else_had_built_is_not_built_again(world):
    world.history.save_commit(Commit(id=HEAD, status="built"))

    assert "unchanged" == world.look().outcome
    assert {} == world.pipeline.started
