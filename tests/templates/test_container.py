"""What the flow says to the container, in the container's own words: images import nothing of ours."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from atelier import synth
from atelier.contract import events
from atelier.templates import flow

IMAGE = Path(__file__).parents[2] / "images" / "training" / "gpt_neo"


@pytest.fixture
def container(monkeypatch):
    """The container's modules, without what needs torch."""
    monkeypatch.syspath_prepend(IMAGE)
    return lambda name: import_module(f"gpt_neo.{name}")


def test_the_container_knows_every_hyperparameter(container):
    steps = json.loads(synth.text("training-flow"))["Parameters"]["TrainingSteps"]["Default"]

    settings = container("settings").parse({**flow.HYPERPARAMETERS, "steps": steps})

    assert int(steps) == settings.steps


def test_every_metric_is_found_in_the_lines_that_the_container_writes(container):
    metrics = container("metrics")
    score = metrics.Score(nats=5.5 * 1000, tokens=1000, bytes=3200)
    lines = [
        metrics.score_line("untrained", 0, 240, score),
        metrics.train_line(10, 240, 5.1, 9000.0, 0.003),
        metrics.score_line("validation", 240, 240, score),
    ]
    found = {
        name: [float(match[1]) for line in lines if (match := re.search(regex, line))]
        for name, regex in events.METRICS.items()
    }

    assert [pytest.approx(score.perplexity, abs=0.01)] == found[events.PERPLEXITY]
    assert [pytest.approx(score.perplexity, abs=0.01)] == found[events.PERPLEXITY_BEFORE]
    assert [pytest.approx(score.bits_per_byte, abs=0.001)] == found[events.BITS_PER_BYTE]
    assert all(1 == len(values) for values in found.values())
