import math

import pytest
from function_fakes import NOW, FakeEndpoints, FakePrompts, FakeRegistry, metrics, training, version

from atelier.contract.events import BITS_PER_BYTE, PERPLEXITY
from atelier.lambdas.errors import Failed, GateRefused
from atelier.lambdas.services import evaluation
from atelier.lambdas.services.evaluation import Limits

LIMITS = Limits(bits_per_byte=3.0, regression=0.05)


def judge(store=None, **job):
    return evaluation.gate(training(**job), LIMITS, registry=store or FakeRegistry())


def serving(bits):
    return FakeRegistry(version(4, status="approved", published=NOW, metrics=metrics(bits)))


def test_a_first_model_within_the_limit_passes():
    judgement = judge()

    assert (2.5, 300.0, 2000.0) == (
        judgement.bits_per_byte,
        judgement.perplexity,
        judgement.perplexity_before,
    )
    assert "the first version: nothing to compare with" == judgement.comparison


def test_a_better_model_says_how_much():
    assert "0.100 bits per byte better than version 4 (2.600)" == judge(serving(2.6)).comparison


def test_a_slightly_worse_model_passes_and_says_so():
    assert "0.050 bits per byte worse than version 4 (2.450)" == judge(serving(2.45)).comparison


def test_an_equal_model_is_as_good():
    assert "as good as version 4 (2.500 bits per byte)" == judge(serving(2.5)).comparison


def test_a_much_worse_model_is_refused():
    with pytest.raises(GateRefused, match=r"more than 5% worse than the 2.300 of version 4"):
        judge(serving(2.3))


def test_a_model_over_the_limit_is_refused_even_as_the_first():
    with pytest.raises(GateRefused, match=r"at most 3.0 is allowed"):
        judge(metrics=metrics(3.1))


def test_a_model_that_learned_nothing_is_refused():
    with pytest.raises(GateRefused, match="has learned nothing"):
        judge(metrics=metrics(2.0, after=2000.0))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", [BITS_PER_BYTE, PERPLEXITY])
def test_a_metric_that_is_no_number_is_refused(name, value):
    with pytest.raises(GateRefused, match=f"no usable {name}"):
        judge(metrics={**metrics(), name: value})


def test_a_job_without_its_metrics_is_refused():
    with pytest.raises(GateRefused, match="no usable"):
        judge(metrics={})


@pytest.mark.parametrize("status", ["Stopped", "Stopped (MaxWaitTimeExceeded)", "Failed"])
def test_every_end_but_completed_is_a_failure(status):
    with pytest.raises(Failed, match="ended"):
        judge(status=status)


def smoke_test(answer, status="InService"):
    endpoints = FakeEndpoints()
    endpoints.set("candidate", status, "config")
    prompts = FakePrompts(answer)
    return evaluation.smoke_test("candidate", endpoints=endpoints, prompts=prompts)


def test_a_candidate_that_answers_passes_the_smoke_test():
    assert " with statement" == smoke_test(
        {"completions": [{"text": " with statement", "completion_tokens": 3}]}
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"completions": []},
        {"completions": ["text"]},
        {"completions": [{"text": "", "completion_tokens": 0}]},
        {"completions": [{"completion_tokens": 3}]},
    ],
)
def test_an_answer_without_text_fails_the_smoke_test(answer):
    with pytest.raises(Failed, match=r"no text|no completions"):
        smoke_test(answer)


def test_a_candidate_out_of_service_is_not_asked():
    with pytest.raises(Failed, match="candidate is Failed"):
        smoke_test({}, status="Failed")
