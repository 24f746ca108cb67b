import pytest
from function_fakes import LATER, NOW, RUN, FakeEndpoints, FakeFlows, FakeRegistry, version

from atelier.contract.events import Withdrawal
from atelier.lambdas.errors import Busy
from atelier.lambdas.services import candidates

OURS = "gpt-neo-1a2b3c4d-1"


def showing(config, status="InService"):
    endpoints = FakeEndpoints()
    endpoints.set("candidate", status, config)
    return endpoints


def withdraw(store, endpoints, flows=None, **more):
    return candidates.withdraw(
        Withdrawal(**{"run": RUN, "reason": "Approve failed", **more}),
        now=NOW,
        candidate="candidate",
        flows=flows or FakeFlows(),
        registry=store,
        endpoints=endpoints,
    )


def test_a_rejection_marks_the_version_and_removes_the_candidate():
    store, endpoints = FakeRegistry(version()), showing(OURS)

    withdraw(store, endpoints, comment="too dull")

    assert ("rejected", "too dull") == (store.get(1).status, store.get(1).comment)
    assert ["delete candidate", f"discard {OURS}"] == endpoints.done


def test_a_rejection_leaves_a_later_runs_candidate_alone():
    endpoints = showing("gpt-neo-99999999-1")

    withdraw(FakeRegistry(version()), endpoints)

    assert [f"discard {OURS}"] == endpoints.done


def test_a_rejection_delivered_twice_does_no_more():
    store, endpoints = FakeRegistry(version()), showing(OURS)

    withdraw(store, endpoints)
    withdraw(store, endpoints)

    assert "rejected" == store.get(1).status
    assert 1 == endpoints.done.count("delete candidate")


@pytest.mark.parametrize("status", ["approved", "retired"])
def test_a_run_that_ends_after_its_approval_changes_nothing(status):
    store, endpoints = FakeRegistry(version(status=status)), showing(OURS)

    withdraw(store, endpoints)

    assert status == store.get(1).status
    assert [] == endpoints.done


def test_a_run_that_is_stopped_while_it_trains_stops_its_flow():
    flows, endpoints = FakeFlows(), showing("other")
    flows.set(f"{RUN}-1", "FAILED")
    flows.set(f"{RUN}-2", "RUNNING")

    assert withdraw(FakeRegistry(), endpoints, flows) is None
    assert [f"{RUN}-2"] == flows.stopped
    assert ["discard gpt-neo-1a2b3c4d-2"] == endpoints.done


def test_a_candidate_that_was_busy_when_its_flow_was_stopped_goes_with_the_next_call():
    flows, endpoints = FakeFlows(), showing(OURS, "Creating")
    flows.set(f"{RUN}-1", "RUNNING")
    with pytest.raises(Busy):
        withdraw(FakeRegistry(), endpoints, flows)
    endpoints.set("candidate", "InService", OURS)

    withdraw(FakeRegistry(), endpoints, flows)

    assert [f"{RUN}-1"] == flows.stopped
    assert ["delete candidate", f"discard {OURS}"] == endpoints.done


def test_a_failed_action_stops_the_flow_that_goes_on_without_it():
    flows, endpoints = FakeFlows(), showing(OURS)
    flows.set(f"{RUN}-1", "RUNNING", started=NOW)

    withdraw(FakeRegistry(), endpoints, flows, reason="Train failed", at=LATER)

    assert "Train failed" == flows.get(f"{RUN}-1").reason
    assert ["delete candidate", f"discard {OURS}"] == endpoints.done


def test_the_reason_of_a_flow_that_failed_by_itself_is_not_replaced():
    store, endpoints, flows = FakeRegistry(version()), showing("other"), FakeFlows()
    flows.set(f"{RUN}-1", "FAILED", reason="no answer")
    undo(store, endpoints)

    withdraw(store, endpoints, flows, reason="Train failed", comment="another", at=LATER)

    assert ("rejected", "no answer") == (store.get(1).status, store.get(1).comment)
    assert [] == flows.stopped


def test_a_late_word_of_a_failure_leaves_the_attempt_of_a_retried_stage_alone():
    again = "gpt-neo-1a2b3c4d-2"
    store, endpoints, flows = FakeRegistry(version(endpoint_config=again)), showing(again), FakeFlows()
    flows.set(f"{RUN}-1", "ABORTED", started=NOW)
    flows.set(f"{RUN}-2", "RUNNING", started=LATER)

    withdraw(store, endpoints, flows, reason="Train failed", at=NOW)

    assert ([], "pending") == (flows.stopped, store.get(1).status)
    assert [f"discard {OURS}"] == endpoints.done


def test_a_run_that_never_trained_leaves_nothing_to_take_back():
    endpoints = showing("other")

    assert withdraw(FakeRegistry(), endpoints) is None
    assert [] == endpoints.done


@pytest.mark.parametrize("config", [OURS, "gpt-neo-99999999-1"])
@pytest.mark.parametrize("status", sorted(candidates.CHANGING))
def test_a_candidate_that_changes_is_tried_again_later_whatever_it_shows(status, config):
    endpoints = showing(config, status)

    with pytest.raises(Busy, match=f"candidate is {status}"):
        candidates.take_back("candidate", OURS, endpoints=endpoints)

    assert [] == endpoints.done


def test_a_candidate_that_is_being_deleted_is_gone_already():
    endpoints = showing(OURS, "Deleting")

    candidates.remove("candidate", OURS, endpoints=endpoints)

    assert [] == endpoints.done


def undo(store, endpoints):
    candidates.undo(
        RUN, OURS, "no answer", now=NOW, candidate="candidate", registry=store, endpoints=endpoints
    )


def test_a_failure_after_the_record_rejects_what_it_recorded():
    store, endpoints = FakeRegistry(version()), showing(OURS)

    undo(store, endpoints)

    assert ("rejected", "no answer") == (store.get(1).status, store.get(1).comment)


def test_a_failed_attempt_leaves_the_version_of_another_attempt_alone():
    store = FakeRegistry(version(endpoint_config="gpt-neo-1a2b3c4d-2"))

    undo(store, showing("gpt-neo-1a2b3c4d-2"))

    assert "pending" == store.get(1).status
