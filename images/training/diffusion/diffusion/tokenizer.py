"""CLIP's way to spell a text, from its merges."""

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from diffusion import vocabulary

#: Words, single digits, and runs of anything else; what is between them is dropped.
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Words:
    """A tokenizer and its three tokens that mean something to Stable Diffusion."""

    def __init__(self, merges: Sequence[str]) -> None:
        words = vocabulary.words(merges)
        pairs = [(left, right) for left, right in (each.split(" ") for each in merges)]
        self._tokenizer = Tokenizer(
            models.BPE(vocab=words, merges=pairs, end_of_word_suffix="</w>", unk_token=vocabulary.END)
        )
        self._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self.start, self.end = words[vocabulary.START], words[vocabulary.END]
        self.comma = words[",</w>"]

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids
