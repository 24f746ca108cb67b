from dataclasses import asdict

import pytest
from function_fakes import RUN, FakeData, FakeFlows, flow_result, start_training

from atelier.contract.documents import Invalid
from atelier.lambdas.errors import Busy, Failed, NotFound
from atelier.lambdas.services import training


def advance(flows, token=None, data=None, **request):
    return training.advance(start_training(**request), token, flows=flows, data=data or FakeData())


def test_the_first_call_starts_the_first_attempt_on_the_latest_data():
    flows = FakeFlows()

    step = advance(flows)

    assert f"{RUN}-1" == step.token
    assert "gpt-neo-1a2b3c4d-1" == flows.inputs[f"{RUN}-1"].name
    assert ("d1", "s3://data/data/d1/") == (
        flows.inputs[f"{RUN}-1"].data_version,
        flows.inputs[f"{RUN}-1"].data_uri,
    )


def test_a_job_delivered_twice_joins_the_flow_that_runs():
    flows = FakeFlows()

    first, second = advance(flows), advance(flows)

    assert first.token == second.token
    assert [f"{RUN}-1"] == list(flows.inputs)


def test_a_job_delivered_twice_at_once_joins_what_the_other_one_started():
    flows = FakeFlows(overtaken=True)

    assert f"{RUN}-1" == advance(flows).token


def test_a_retried_stage_starts_a_new_attempt_with_names_of_its_own():
    flows = FakeFlows()
    flows.set(f"{RUN}-1", "FAILED")
    flows.set(f"{RUN}-2", "ABORTED")

    assert f"{RUN}-3" == advance(flows).token
    assert "gpt-neo-1a2b3c4d-3" == flows.inputs[f"{RUN}-3"].name


def test_a_report_that_was_lost_does_not_train_again():
    flows = FakeFlows()
    flows.set(f"{RUN}-1", "SUCCEEDED", output=asdict(flow_result()))

    step = advance(flows)

    assert step.token is None
    assert {} == flows.inputs


def test_a_token_follows_its_flow_without_starting_anything():
    flows = FakeFlows()
    flows.set("other-1", "RUNNING")

    assert "other-1" == advance(flows, "other-1").token
    assert {} == flows.inputs


def test_a_flow_that_cannot_be_seen_now_is_looked_for_again():
    flows = FakeFlows(busy=True)
    flows.set("other-1", "RUNNING")

    first = advance(flows, "other-1")
    second = advance(flows, first.token)
    flows.busy = False

    assert ("other-1#1", "other-1#2") == (first.token, second.token)
    assert "Step Functions is too busy" in second.summary
    assert "other-1" == advance(flows, second.token).token


def test_a_flow_that_cannot_be_started_now_is_started_by_a_later_call():
    flows = FakeFlows(busy=True)

    step = advance(flows)
    flows.busy = False

    assert {} == flows.inputs
    assert f"{RUN}-1" == advance(flows, step.token).token
    assert [f"{RUN}-1"] == list(flows.inputs)


def test_a_flow_that_is_out_of_sight_for_too_long_fails_with_the_reason():
    flows, token = FakeFlows(busy=True), "other-1"
    for _ in range(training.MISSES):
        token = advance(flows, token).token

    with pytest.raises(Busy, match="Step Functions is too busy"):
        advance(flows, token)


def test_the_facts_become_output_variables_and_all_are_strings():
    flows = FakeFlows()
    flows.set(f"{RUN}-1", "SUCCEEDED", output=asdict(flow_result()))

    step = advance(flows, f"{RUN}-1")

    assert "1" == step.outputs["MODEL_VERSION"]
    assert {
        "PERPLEXITY_BEFORE",
        "PERPLEXITY",
        "BITS_PER_BYTE",
        "COMMIT",
        "IMAGE_DIGEST",
    } <= step.outputs.keys()
    assert all(isinstance(each, str) for each in step.outputs.values())


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_the_reason_of_a_failed_flow_is_handed_on(status):
    flows = FakeFlows()
    flows.set(f"{RUN}-1", status, reason="AlgorithmError: the text is empty")

    with pytest.raises(Failed, match="the text is empty"):
        advance(flows, f"{RUN}-1")


def test_a_flow_that_ends_without_a_reason_still_says_how():
    flows = FakeFlows()
    flows.set(f"{RUN}-1", "TIMED_OUT")

    with pytest.raises(Failed, match="TIMED_OUT"):
        advance(flows, f"{RUN}-1")


def test_a_flow_that_has_vanished_is_not_waited_for():
    with pytest.raises(NotFound, match="vanished"):
        advance(FakeFlows(), "gone-1")


def test_a_flow_with_half_a_result_is_no_success():
    flows = FakeFlows()
    flows.set(f"{RUN}-1", "SUCCEEDED", output={"model_version": "1"})

    with pytest.raises(Invalid, match="perplexity is missing"):
        advance(flows, f"{RUN}-1")


@pytest.mark.parametrize(
    ("data", "wanted", "error", "words"),
    [
        (FakeData(pointer=None), "latest", NotFound, "no training data has been uploaded"),
        (FakeData(), "d2", NotFound, "no training data of version d2"),
        (FakeData(versions=()), "latest", NotFound, "no training data of version d1"),
        (FakeData(), "../models", Invalid, "cannot be a version"),
        (FakeData(), "", Invalid, "cannot be a version"),
    ],
)
def test_data_that_is_not_there_starts_nothing(data, wanted, error, words):
    flows = FakeFlows()

    with pytest.raises(error, match=words):
        advance(flows, data=data, data_version=wanted)

    assert {} == flows.inputs
