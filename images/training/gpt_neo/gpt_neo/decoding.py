"""Choose tokens and turn them into text, for many prompts at once and as if for each alone."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor

from gpt_neo.batching import Task
from gpt_neo.inference import Cache, Model, merge, select
from gpt_neo.prompts import Completion, Wish


@dataclass(eq=False)
class Row:
    """A task inside the batch: what it has written, and its own source of chance."""

    task: Task
    length: int
    random: random.Random
    written: list[int] = field(default_factory=list)
    completion: Completion | None = None


class Decoder:
    """A batch that rows join and leave between two tokens."""

    def __init__(self, model: Model, tokenizer: Tokenizer, end: int) -> None:
        self._model, self._tokenizer, self._end = model, tokenizer, end
        self._rows: list[Row] = []
        self._cache: Cache | None = None

    def advance(self, joining: Sequence[Task], leaving: Sequence[Task]) -> Iterable[tuple[Task, Completion]]:
        """Drop *leaving*, take *joining* in, write one token for all; return those that are done."""
        gone = set(leaving)
        self._keep([each for each in self._rows if each.task not in gone])
        self._grow()
        self._join([Row(each, len(each.ids), random.Random(each.wish.seed)) for each in joining])
        done = [(each.task, each.completion) for each in self._rows if each.completion]
        self._keep([each for each in self._rows if not each.completion])
        return done

    def _join(self, rows: list[Row]) -> None:
        """Read the prompts of *rows* and write their first token."""
        if not rows:
            return
        columns = max(each.length for each in rows)
        ids = torch.tensor([[self._end] * (columns - each.length) + each.task.ids for each in rows])
        logits, cache = self._model.forward(ids, _starts(rows, columns))
        self._cache = merge(self._cache, cache) if self._cache else cache
        self._write(rows, logits)
        self._rows = [*self._rows, *rows]

    def _grow(self) -> None:
        """Write the next token of every row."""
        if not self._rows or self._cache is None:
            return
        ids = torch.tensor([[each.written[-1]] for each in self._rows])
        columns = self._cache[0][0].shape[2]
        logits, self._cache = self._model.forward(ids, _starts(self._rows, columns), self._cache)
        for each in self._rows:
            each.length += 1
        self._write(self._rows, logits)

    def _keep(self, rows: list[Row]) -> None:
        """Let go of all other rows, and of columns that only they needed."""
        if len(rows) < len(self._rows):
            kept = [number for number, each in enumerate(self._rows) if each in rows]
            longest = max((each.length for each in rows), default=0)
            self._cache = select(self._cache, kept, longest) if self._cache and rows else None
            self._rows = rows

    def _write(self, rows: list[Row], logits: Tensor) -> None:
        chances = [each.random.random() for each in rows]
        for row, token in zip(rows, choose(logits, [each.task.wish for each in rows], chances), strict=True):
            row.completion = self._continue(row, token)

    def _continue(self, row: Row, token: int) -> Completion | None:
        """Add *token* to *row*; return its completion if that was the last one."""
        if token == self._end:
            return self._complete(row, "end")
        row.written.append(token)
        if row.task.wish.stop and (cut := self._stop(row)) is not None:
            return self._complete(row, "stop", cut)
        return self._complete(row, "length") if len(row.written) == row.task.wish.max_new_tokens else None

    def _stop(self, row: Row) -> int | None:
        """Find where the first stop text begins, if the row has written one."""
        text = self._tokenizer.decode(row.written)
        found = [text.find(each) for each in row.task.wish.stop if each in text]
        return min(found, default=None)

    def _complete(self, row: Row, reason: str, cut: int | None = None) -> Completion:
        # A character that the last token left unfinished is no part of the text.
        text = self._tokenizer.decode(row.written)[:cut].rstrip("\ufffd")
        return Completion(
            text=text,
            finish_reason=reason,
            prompt_tokens=len(row.task.ids),
            completion_tokens=len(row.written),
        )


def choose(logits: Tensor, wishes: Sequence[Wish], chances: Sequence[float]) -> list[int]:
    """Pick a token for each row: the likeliest, or the one that the row's chance falls on."""
    picked = logits.argmax(dim=-1)
    warm = [number for number, each in enumerate(wishes) if each.temperature > 0]
    if warm:
        picked[warm] = _draw(logits[warm], [wishes[each] for each in warm], [chances[each] for each in warm])
    tokens: list[int] = picked.tolist()
    return tokens


def _draw(logits: Tensor, wishes: Sequence[Wish], chances: Sequence[float]) -> Tensor:
    """Draw a token for each row among the likeliest that its wish allows."""
    temperature = _column([each.temperature for each in wishes], logits.dtype)
    scaled = (logits - logits.max(dim=-1, keepdim=True).values) / temperature
    ordered, tokens = scaled.sort(dim=-1, descending=True, stable=True)
    odds = ordered.softmax(dim=-1)
    before = odds.cumsum(dim=-1) - odds
    size = logits.shape[-1]
    first = torch.arange(size) < _column([each.top_k or size for each in wishes], torch.long)
    allowed = first & (before < _column([each.top_p for each in wishes], logits.dtype))
    total = (odds * allowed).cumsum(dim=-1)
    aimed = _column(chances, logits.dtype) * total[:, -1:]
    # Rounding may aim at the very end, where nothing that is not allowed may be hit.
    last = allowed.sum(dim=-1, keepdim=True) - 1
    return tokens.gather(-1, torch.searchsorted(total, aimed, right=True).minimum(last))[:, 0]


def _column(values: Sequence[float], dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype)[:, None]


def _starts(rows: list[Row], columns: int) -> Tensor:
    return torch.tensor([columns - each.length for each in rows])
