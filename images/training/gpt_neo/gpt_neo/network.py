"""GPT-Neo itself, from a configuration or from a folder, and how well it predicts a text."""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

# Not `from transformers import`: the package's front door looks around for everything it knows.
from transformers.models.gpt_neo.configuration_gpt_neo import GPTNeoConfig
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoForCausalLM
from transformers.utils import logging

from gpt_neo.metrics import Score
from gpt_neo.settings import Settings
from gpt_neo.tokens import Ids

EVALUATION_BATCH = 16


def device(threads: int = 0) -> torch.device:
    """Choose where to compute, and on a CPU how many threads; by default the cores this container may use."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    return torch.device("cpu")


def fresh(settings: Settings, *, vocab_size: int, end: int) -> GPTNeoForCausalLM:
    """Make a model with random weights."""
    torch.manual_seed(settings.seed)
    configuration = GPTNeoConfig(
        vocab_size=vocab_size,
        max_position_embeddings=settings.context,
        hidden_size=settings.hidden,
        num_layers=settings.layers,
        attention_types=[[["global", "local"], settings.layers // 2], [["global"], settings.layers % 2]],
        num_heads=settings.heads,
        window_size=max(1, settings.context // 2),
        embed_dropout=settings.dropout,
        resid_dropout=settings.dropout,
        attention_dropout=settings.dropout,
        bos_token_id=end,
        eos_token_id=end,
    )
    return _calmed(GPTNeoForCausalLM(configuration))


@torch.no_grad()
def _calmed(model: GPTNeoForCausalLM) -> GPTNeoForCausalLM:
    """Shrink what each block adds at first, as GPT-2 did, and learning starts sooner."""
    for name, weight in model.named_parameters():
        if name.endswith(("out_proj.weight", "c_proj.weight")):
            weight.mul_((2 * model.config.num_layers) ** -0.5)
    return model


def save(model: GPTNeoForCausalLM, folder: Path) -> None:
    """Write weights and configuration as transformers reads them."""
    logging.disable_progress_bar()
    model.save_pretrained(folder)


def parameters(model: GPTNeoForCausalLM) -> int:
    """Count the model's numbers; embeddings that are shared count once."""
    return sum(each.numel() for each in model.parameters())


def loss(model: GPTNeoForCausalLM, windows: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """Return the surprise, in nats, at what follows each token of *windows*."""
    logits = model(input_ids=windows[:, :-1].clamp(min=0), use_cache=False).logits
    return functional.cross_entropy(
        logits.float().flatten(0, 1), windows[:, 1:].flatten(), reduction=reduction, ignore_index=-1
    )


@torch.no_grad()
def evaluate(model: GPTNeoForCausalLM, ids: Ids, *, context: int, size: int) -> Score:
    """Score *model* on *ids*, the encoding of a text of *size* bytes: every token once, in full precision."""
    was_training = model.training
    model.eval()
    where = next(model.parameters()).device
    windows = torch.from_numpy(_windows(ids, context)).split(EVALUATION_BATCH)
    nats = sum(loss(model, each.to(where), reduction="sum").double().item() for each in windows)
    model.train(was_training)
    return Score(nats=nats, tokens=len(ids) - 1, bytes=size)


def _windows(ids: Ids, context: int) -> NDArray[np.int64]:
    """Cut *ids* so that each is predicted once; what fills the last window is not scored."""
    count = -(-(len(ids) - 1) // context)
    filled = np.full(count * context + 1, -1, dtype=np.int64)
    filled[: len(ids)] = ids
    starts = np.arange(count)[:, None] * context
    windows: NDArray[np.int64] = filled[starts + np.arange(context + 1)]
    return windows
