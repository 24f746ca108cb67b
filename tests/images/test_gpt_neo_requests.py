from __future__ import annotations

import json

import pytest
from gpt_neo import prompts
from gpt_neo.prompts import Invalid, Limits, Wish

LIMITS = Limits(context=128, vocabulary=2048, token_bytes=10)


def parse(**request) -> list[Wish]:
    return prompts.parse(json.dumps(request).encode(), LIMITS)


def test_a_prompt_alone_gets_the_defaults():
    (wish,) = parse(prompt="Once")

    assert ("Once", 32, 0.8, 0.95, 0, ()) == (
        wish.prompt,
        wish.max_new_tokens,
        wish.temperature,
        wish.top_p,
        wish.top_k,
        wish.stop,
    )


def test_without_a_seed_every_request_draws_its_own():
    assert parse(prompt="a")[0].seed != parse(prompt="a")[0].seed


def test_a_list_of_prompts_shares_everything_else():
    settings = {"max_new_tokens": 5, "temperature": 0, "top_p": 1, "top_k": 7, "seed": 9, "stop": ["x", "y"]}
    expected = settings | {"stop": ("x", "y")}

    assert [Wish(prompt=each, **expected) for each in ("a", "b", "a")] == parse(
        prompt=["a", "b", "a"], **settings
    )


def test_one_stop_text_needs_no_list():
    assert ("\n",) == parse(prompt="a", stop="\n")[0].stop


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "prompt is missing"),
        ({"prompt": ""}, "prompt must not be empty"),
        ({"prompt": ["a", ""]}, "prompt must not be empty"),
        ({"prompt": []}, "prompt must be a text or a list of 1 to 16 texts"),
        ({"prompt": ["a"] * 17}, "prompt must be a text or a list of 1 to 16 texts"),
        ({"prompt": None}, "prompt must be a text"),
        ({"prompt": ["a", 7]}, "prompt must be a text"),
        ({"prompt": "ä" * 641}, "prompt has 1282 bytes, more than the 128 tokens this model can hold"),
        ({"prompt": "\ud800"}, "half of a surrogate pair"),
        ({"prompt": "a", "tempreature": 1}, "unknown field tempreature; known are prompt, max_new_tokens"),
        ({"prompt": "a", "max_new_tokens": 0}, "max_new_tokens must be a whole number from 1 to 128"),
        ({"prompt": "a", "max_new_tokens": 129}, "max_new_tokens must be a whole number from 1 to 128"),
        ({"prompt": "a", "max_new_tokens": "5"}, "max_new_tokens must be a whole number"),
        ({"prompt": "a", "max_new_tokens": 5.0}, "max_new_tokens must be a whole number"),
        ({"prompt": "a", "max_new_tokens": True}, "max_new_tokens must be a whole number"),
        ({"prompt": "a", "max_new_tokens": None}, "max_new_tokens must be a whole number"),
        ({"prompt": "a", "temperature": -0.1}, "temperature must be a number from 0 to 5"),
        ({"prompt": "a", "temperature": "hot"}, "temperature must be a number from 0 to 5"),
        ({"prompt": "a", "temperature": True}, "temperature must be a number from 0 to 5"),
        ({"prompt": "a", "top_p": 0}, "top_p must be a number above 0 to 1"),
        ({"prompt": "a", "top_p": 1.1}, "top_p must be a number above 0 to 1"),
        ({"prompt": "a", "top_k": -1}, "top_k must be a whole number from 0 to 2048"),
        ({"prompt": "a", "seed": -1}, "seed must be a whole number from 0"),
        ({"prompt": "a", "seed": 2**63}, "seed must be a whole number from 0"),
        (
            {"prompt": "a", "stop": ""},
            "stop must be a text or a list of up to 8 texts of 1 to 100 characters",
        ),
        ({"prompt": "a", "stop": ["a"] * 9}, "stop must be a text or a list"),
        ({"prompt": "a", "stop": 5}, "stop must be a text or a list"),
        ({"prompt": "a", "stop": "x" * 101}, "stop must be a text or a list"),
    ],
)
def test_what_is_wrong_is_said_by_name(request_, expected):
    with pytest.raises(Invalid, match=expected):
        parse(**request_)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"prompt": "a", "temperature": NaN}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'"Once"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body, expected):
    with pytest.raises(Invalid, match=expected):
        prompts.parse(body, LIMITS)


def test_a_prompt_may_fill_the_context_with_its_answer():
    prompts.check_length(Wish(prompt="a", max_new_tokens=28), 100, LIMITS)


def test_a_prompt_that_does_not_fit_is_refused_with_the_limit():
    with pytest.raises(Invalid, match=r"100 tokens; with max_new_tokens=29 .* the 128 tokens"):
        prompts.check_length(Wish(prompt="a", max_new_tokens=29), 100, LIMITS)
