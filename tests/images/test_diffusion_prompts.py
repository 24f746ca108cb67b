from __future__ import annotations

import pytest
from diffusion import prompts
from diffusion.errors import Invalid

COMMA = ord(",")


def weights(prompt: str) -> list[tuple[str | None, float]]:
    return [(each.text, round(each.weight, 3)) for each in prompts.parts(prompt)]


def sizes(prompt: str) -> list[int]:
    """Sizes of the chunks when a character is a token."""
    return [len(each.ids) for each in prompts.chunks(prompt, lambda text: [*text.encode()], COMMA)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a cat", [("a cat", 1)]),
        ("a (cat)", [("a ", 1), ("cat", 1.1)]),
        ("a ((cat))", [("a ", 1), ("cat", 1.21)]),
        ("a [cat]", [("a ", 1), ("cat", 0.909)]),
        ("a (cat:1.5) sat", [("a ", 1), ("cat", 1.5), (" sat", 1)]),
        ("(a (cat:2):0.5)", [("a ", 0.5), ("cat", 1)]),
        ("(a [b])", [("a ", 1.1), ("b", 1)]),
        (r"a \(cat\) \\ \n", [(r"a (cat) \ \n", 1)]),
        ("a (cat", [("a ", 1), ("cat", 1.1)]),
        ("a cat) :) 3:2)", [("a cat) :) 3:2)", 1)]),
        ("4:3 BREAKING B BREAK x", [("4:3 BREAKING B ", 1), (None, 1), (" x", 1)]),
        ("", []),
    ],
)
def test_attention_is_written_as_in_the_webui(prompt, expected):
    assert expected == weights(prompt)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a <lora:cats:0.8>", "an extra network '<lora:cats:0.8>'"),
        ("a [cat:dog:0.5]", r"prompt editing '\[cat:dog:0.5\]'"),
        ("a [dog:10]", r"prompt editing '\[dog:10\]'"),
        ("a [cat|dog]", r"alternation '\[cat\|dog\]'"),
        ("a cat AND a dog", "the composition 'AND'"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(prompt, expected):
    with pytest.raises(
        Invalid, match=rf"params.prompt has {expected}, which this container does not support"
    ):
        prompts.check("prompt", prompt)


@pytest.mark.parametrize("prompt", ["a (cat:1.2), [dog], 4:3, a|b", r"\[cat|dog\]", "[(cat:1.2)]", "SAND <3"])
def test_what_only_looks_like_it_is_fine(prompt):
    prompts.check("prompt", prompt)


def test_a_prompt_fills_chunks_of_75_tokens():
    assert [75, 75, 10] == sizes("x" * 160)


def test_an_empty_prompt_is_one_empty_chunk():
    assert [0] == sizes("")


def test_break_begins_a_chunk():
    assert [2, 3] == sizes("a BREAK bc")


def test_a_full_chunk_ends_at_a_comma_that_is_near():
    assert [71, 29] == sizes("x" * 70 + "," + "x" * 29)


def test_a_comma_that_is_far_does_not_end_a_chunk():
    assert [75, 16] == sizes("x" * 40 + "," + "x" * 50)


def test_weights_stay_with_their_tokens():
    first, second = prompts.chunks("x" * 74 + "(yz:1.5)", lambda text: [*text.encode()], COMMA)

    assert ([1.0] * 74 + [1.5], [1.5]) == (first.weights, second.weights)


def test_a_prompt_without_end_is_refused():
    with pytest.raises(Invalid, match="at most 16 chunks of 75 tokens, not 17"):
        sizes("x" * 16 * 75 + "y")
