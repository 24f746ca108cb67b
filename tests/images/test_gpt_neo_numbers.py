from __future__ import annotations

import math
import re

import pytest
from gpt_neo import metrics, schedule
from gpt_neo.errors import Failure
from gpt_neo.metrics import Score

from atelier.contract.events import METRICS


def test_a_model_that_knows_nothing_needs_eight_bits_for_a_byte():
    by_byte = Score(nats=1000 * math.log(256), tokens=1000, bytes=1000)

    assert 8 == pytest.approx(by_byte.bits_per_byte)
    assert 256 == pytest.approx(by_byte.perplexity)


def test_models_with_different_tokenizers_compare_in_bits_per_byte():
    by_byte = Score(nats=3000.0, tokens=4000, bytes=4000)
    by_word = Score(nats=3000.0, tokens=800, bytes=4000)

    assert by_byte.bits_per_byte == by_word.bits_per_byte
    assert by_byte.perplexity < by_word.perplexity


def test_a_hopeless_loss_has_infinite_perplexity():
    assert math.inf == metrics.perplexity(1e6)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_job_with_advice(loss):
    with pytest.raises(Failure, match=r"at step 7: training diverged; lower learning_rate"):
        metrics.finite(loss, 7)


LINES = [
    metrics.score_line("untrained", 0, 240, Score(nats=760.0, tokens=100, bytes=400)),
    metrics.train_line(20, 240, 5.123456789, 8123.7, 0.003),
    metrics.score_line("validation", 240, 240, Score(nats=500.0, tokens=100, bytes=400)),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train:loss", "5.123457"),
        ("train:tokens_per_second", "8124"),
        ("progress:step", "20"),
        ("validation:perplexity_before", "1998.20"),
        ("validation:loss", "5.000000"),
        ("validation:perplexity", "148.41"),
        ("validation:bits_per_byte", "1.8034"),
    ],
)
def test_the_documented_expressions_find_their_numbers_and_no_others(name, expected):
    documented = dict(re.findall(r"^ {4}(\S+:\S+) +(\S.*)$", metrics.__doc__, re.MULTILINE))

    assert [expected] == [found[1] for line in LINES if (found := re.search(documented[name], line))]


def test_the_training_job_asks_for_metrics_that_the_log_tells():
    found = {name: [line for line in LINES if re.search(regex, line)] for name, regex in METRICS.items()}

    assert {name: 1 for name in METRICS} == {name: len(lines) for name, lines in found.items()}


def test_the_learning_rate_rises_and_then_falls_to_its_floor():
    rates = [schedule.rate(step, steps=100, peak=0.01, warmup=0.1, floor=0.1) for step in range(100)]

    assert 0.001 == pytest.approx(rates[0])
    assert 0.01 == pytest.approx(max(rates)) == pytest.approx(rates[9])
    assert 0.001 == pytest.approx(rates[-1])
    assert sorted(rates[10:], reverse=True) == rates[10:]


def test_without_warmup_and_with_one_step_there_is_a_rate():
    assert 0.01 == schedule.rate(0, steps=1, peak=0.01, warmup=0.0, floor=0.1)


@pytest.mark.parametrize(
    ("steps", "times", "expected"),
    [(240, 4, {60, 120, 180, 240}), (7, 2, {4, 7}), (2, 5, {1, 2}), (1, 1, {1})],
)
def test_evaluations_are_spread_and_the_last_step_is_one(steps, times, expected):
    assert expected == schedule.milestones(steps, times)
