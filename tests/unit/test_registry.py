import math

import pytest
from function_fakes import (
    LATER,
    NOW,
    FakeArtifacts,
    FakeRegistry,
    flow_input,
    judgement,
    metrics,
    training,
    version,
)

from atelier.contract.documents import Invalid
from atelier.lambdas.domain.training import FOLLOWS, Approval
from atelier.lambdas.errors import Conflict, NotFound
from atelier.lambdas.services import registry


def record(store, **changes):
    return registry.record(
        flow_input(), training(**changes), judgement(), now=NOW, registry=store, artifacts=FakeArtifacts("cd")
    )


@pytest.mark.parametrize("status", FOLLOWS)
@pytest.mark.parametrize("target", FOLLOWS)
def test_a_version_moves_only_where_it_may(status, target):
    was = version(status=status)

    if target in FOLLOWS[status]:
        assert target == was.to(target).status
    else:
        with pytest.raises(Conflict, match=f"is {status}, cannot become {target}"):
            was.to(target)


def test_a_recorded_version_waits_for_a_person_with_all_that_made_it():
    store = FakeRegistry(version(1))

    kept = record(store, job="gpt-neo-1a2b3c4d-9-0")

    assert (2, "pending", None) == (kept.version, kept.status, kept.published)
    assert ("c0ffee", "sha256:11", "d1", "cd") == (
        kept.commit,
        kept.image_digest,
        kept.data_version,
        kept.artifact_sha256,
    )
    assert 60.0 == kept.metrics["train:seconds"]


def test_a_measure_that_is_no_number_is_left_out_and_told_to_who_approves():
    measured = {**metrics(), "train:loss": math.nan, "train:tokens_per_second": math.inf}

    kept = record(FakeRegistry(), metrics=measured)

    told = "the first version; not a number: train:loss, train:tokens_per_second"
    assert {*metrics(), "train:seconds"} == kept.metrics.keys()
    assert told == kept.comparison == registry.facts(kept, judgement(), "candidate").comparison


def test_recording_the_same_job_again_makes_no_second_version():
    store = FakeRegistry()

    assert record(store) == record(store)


def test_an_approval_keeps_who_said_so():
    store = FakeRegistry(version())

    registry.approve(1, Approval(approver="ann", comment="reads well"), now=LATER, registry=store)

    kept = store.get(1)
    assert ("approved", "ann", "reads well", LATER) == (
        kept.status,
        kept.approver,
        kept.comment,
        kept.decided,
    )
    assert not kept.is_serving


def test_approving_twice_is_fine_for_a_job_may_be_delivered_twice():
    store = FakeRegistry(version())
    first = registry.approve(1, Approval(approver="ann"), now=NOW, registry=store)

    assert first == registry.approve(1, Approval(approver="bob"), now=LATER, registry=store)


@pytest.mark.parametrize("status", ["rejected", "retired"])
def test_what_was_decided_cannot_be_approved(status):
    with pytest.raises(Conflict, match=f"is {status}"):
        registry.approve(1, Approval(), now=NOW, registry=FakeRegistry(version(status=status)))


def test_of_two_who_decide_at_once_one_wins():
    store = FakeRegistry(version())
    store.overtake = version(status="rejected")

    with pytest.raises(Conflict, match="not pending any more"):
        registry.approve(1, Approval(), now=NOW, registry=store)

    assert "rejected" == store.get(1).status


def test_publishing_retires_what_served_before():
    store = FakeRegistry(version(1, status="approved", published=NOW), version(2, status="approved"))

    registry.publish(store.get(2), now=LATER, registry=store)

    assert ("retired", LATER) == (store.get(1).status, store.get(2).published)
    assert 2 == registry.serving(registry=store).version


def test_publishing_again_changes_nothing():
    store = FakeRegistry(version(1, status="approved", published=NOW))

    assert NOW == registry.publish(store.get(1), now=LATER, registry=store).published


@pytest.mark.parametrize("status", ["pending", "rejected", "retired"])
def test_only_an_approved_version_is_published(status):
    store = FakeRegistry(version(status=status))

    with pytest.raises(Conflict, match="only an approved one"):
        registry.publish(store.get(1), now=NOW, registry=store)


def test_an_approved_version_that_was_never_published_does_not_serve():
    store = FakeRegistry(version(1, status="approved", published=NOW), version(2, status="approved"))

    assert 1 == registry.serving(registry=store).version


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "#{Train.MODEL_VERSION}", "twelve"])
def test_a_number_of_a_version_is_a_number(text):
    with pytest.raises(Invalid, match="is not the number of a version"):
        registry.number(text)


def test_a_version_that_is_not_there_cannot_be_approved():
    with pytest.raises(NotFound, match="no version 7"):
        registry.approve(7, Approval(), now=NOW, registry=FakeRegistry())
