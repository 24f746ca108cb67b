r"""Numbers a person or SageMaker reads while the job runs.

SageMaker finds metrics in the log by regular expressions. These fit the lines written here:

    train:loss                     train step=\d+ of=\d+ loss=([0-9.]+)
    train:tokens_per_second        train .* tokens_per_second=([0-9.]+)
    progress:step                  train step=(\d+)
    validation:perplexity_before   untrained .* perplexity=([0-9.]+)
    validation:loss                validation step=\d+ of=\d+ loss=([0-9.]+)
    validation:perplexity          validation .* perplexity=([0-9.]+)
    validation:bits_per_byte       validation .* bits_per_byte=([0-9.]+)
"""

import math
import sys
from dataclasses import dataclass

from gpt_neo.errors import Failure


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well a model predicts a text: the sum of its surprise, in nats, over all tokens of that text."""

    nats: float
    tokens: int
    bytes: int

    @property
    def loss(self) -> float:
        """Mean surprise of a token, in nats."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """Among how many equally likely tokens the model hesitates; depends on the tokenizer."""
        return perplexity(self.loss)

    @property
    def bits_per_byte(self) -> float:
        """Bits to encode one byte of the text: models with different tokenizers compare on it."""
        return self.nats / math.log(2) / self.bytes


def perplexity(loss: float) -> float:
    """Return e to the *loss*; infinite where a float ends."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def finite(loss: float, step: int) -> float:
    """Return the *loss* of *step*, unless training on from it is of no use."""
    if not math.isfinite(loss):
        raise Failure(f"the loss is {loss} at step {step}: training diverged; lower learning_rate")
    return loss


def train_line(step: int, steps: int, loss: float, tokens_per_second: float, learning_rate: float) -> str:
    """Write the progress of training."""
    return (
        f"train step={step} of={steps} loss={loss:.6f} perplexity={perplexity(loss):.2f} "
        f"tokens_per_second={tokens_per_second:.0f} learning_rate={learning_rate:.6f}"
    )


def score_line(what: str, step: int, steps: int, score: Score) -> str:
    """Write what an evaluation found; *what* is untrained or validation."""
    return (
        f"{what} step={step} of={steps} loss={score.loss:.6f} perplexity={score.perplexity:.2f} "
        f"bits_per_byte={score.bits_per_byte:.4f}"
    )


def say(line: str) -> None:
    """Write *line* to the log now: SageMaker and people follow it live."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
