"""Text to token ids and back: a byte-level BPE trained on the spot, ids in a memory map."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from gpt_neo.errors import Failure

#: Stands between texts that do not follow each other; a model that writes it has come to an end.
END = "<|endoftext|>"

#: No token reaches beyond a word, a number, punctuation, or a line's end with the indent that follows.
WORDS = r" ?\p{L}+| ?\p{N}{1,3}|\s*\n\s*| ?[^\s\p{L}\p{N}]+|\s+"

Ids = NDArray[np.uint16]


def learn(runs: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a tokenizer that can spell every byte; little text makes fewer than *vocab_size* entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(runs, trainer)
    # The text may spell the end mark itself; that must not end anything.
    tokenizer.encode_special_tokens = True
    return tokenizer


def end(tokenizer: Tokenizer) -> int:
    """Return the id of the end mark."""
    found: int | None = tokenizer.token_to_id(END)
    if found is None:
        raise Failure(f"the tokenizer has no {END}: it is not one that this container trained")
    return found


def encode(tokenizer: Tokenizer, runs: Iterable[str]) -> Ids:
    """Encode *runs*, the end mark before each and after the last: every id but the first can be predicted."""
    mark = np.array([end(tokenizer)], dtype=np.uint16)
    parts = [np.concatenate([mark, np.array(tokenizer.encode(run).ids, dtype=np.uint16)]) for run in runs]
    return np.concatenate([*parts, mark])


def on_disk(ids: Ids, path: Path) -> Ids:
    """Keep *ids* in a memory map at *path*: training then needs no memory for them."""
    np.save(path, ids)
    mapped: Ids = np.load(path, mmap_mode="r")
    return mapped


class Order:
    """Which windows of the ids each step sees: all of them, shuffled anew in every epoch.

    It depends on the seed and the step alone, so a resumed job goes on exactly where it was.
    """

    def __init__(self, ids: Ids, *, context: int, batch_size: int, seed: int) -> None:
        self.windows = (len(ids) - 1) // context
        if not self.windows:
            raise Failure(
                f"the training text has {len(ids)} tokens, less than one context of {context}: lower context"
            )
        self._ids, self._context, self._batch_size, self._seed = ids, context, batch_size, seed
        self._epoch, self._shuffled, self._offset = -1, np.arange(0), 0

    def batch(self, step: int) -> NDArray[np.int64]:
        """Return the windows of *step*, one longer than the context: inputs, and one further what follows."""
        numbers = range(step * self._batch_size, (step + 1) * self._batch_size)
        starts = [self._start(number) for number in numbers]
        return np.stack([self._ids[start : start + self._context + 1] for start in starts]).astype(np.int64)

    def _start(self, number: int) -> int:
        epoch, index = divmod(number, self.windows)
        if epoch != self._epoch:
            random = np.random.default_rng([self._seed, epoch])
            spare = len(self._ids) - 1 - self.windows * self._context
            self._epoch, self._offset = epoch, int(random.integers(0, spare + 1))
            self._shuffled = random.permutation(self.windows)
        return self._offset + int(self._shuffled[index]) * self._context
