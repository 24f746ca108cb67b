"""A model proves itself before anyone may ask it: its numbers are numbers, and it knows more than nothing."""

import itertools
import math
from pathlib import Path

import torch
from tokenizers import Tokenizer

from gpt_neo import artefact, tokens
from gpt_neo.errors import Failure
from gpt_neo.inference import Model

#: Plain words that every text in English has; a model of another language needs a text of its own.
PROBE = "It is the first of the two that we have, and if this is so then it will be there for all of them.\n"
#: A model that has learned nothing needs log2(vocabulary) bits for a token, give or take its noise.
SHARE = 0.97
LONGEST = 64


def prove(folder: Path, probe: str = PROBE) -> float:
    """Return the bits a token that the model needs for *probe*; raise Failure if it knows nothing."""
    model = Model.load(folder, artefact.configuration(folder), torch.float64)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [tokens.end(tokenizer), *tokenizer.encode(probe).ids][: min(LONGEST, model.context)]
    if tokenizer.get_vocab_size() > model.vocabulary or len(ids) < 2:
        raise Failure(f"the tokenizer and the model in {folder} do not belong together")
    bits = _bits(model, ids)
    guessing = math.log2(model.vocabulary)
    if bits >= SHARE * guessing:
        raise Failure(
            f"the model answers no better than guessing: {bits:.2f} bits for a token of the smoke prompt,"
            f" and {guessing:.2f} is what a model needs that has learned nothing"
        )
    return bits


def _bits(model: Model, ids: list[int]) -> float:
    """Read token by token, and count what each next one costs."""
    cache, total = None, 0.0
    start = torch.zeros(1, dtype=torch.long)
    for now, following in itertools.pairwise(ids):
        logits, cache = model.forward(torch.tensor([[now]]), start, cache)
        if not torch.isfinite(logits).all():
            raise Failure("the model answers what is no number: its weights are damaged")
        total -= float(logits[0].log_softmax(dim=-1)[following]) / math.log(2)
    return total / (len(ids) - 1)
