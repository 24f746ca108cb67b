import json

import pytest
from function_fakes import NOW, FakePrompts, FakeRegistry, version

from atelier.contract.api.completions import LARGEST_BODY
from atelier.contract.documents import Invalid
from atelier.lambdas.errors import NotFound, TooLarge
from atelier.lambdas.services import completions

ANSWER = {"completions": [], "model": {}}


def complete(body, prompts=None):
    return completions.complete(body, endpoint="stable", prompts=prompts or FakePrompts(ANSWER))


def test_a_request_reaches_the_stable_endpoint_with_defaults_and_no_blanks():
    prompts = FakePrompts(ANSWER)

    assert ANSWER == complete('{"prompt": "Hello", "seed": 7}', prompts)
    assert [
        (
            "stable",
            {
                "prompt": "Hello",
                "max_new_tokens": 48,
                "temperature": 0.8,
                "top_p": 0.95,
                "top_k": 50,
                "seed": 7,
            },
        )
    ] == prompts.asked


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ("{}", "prompt is missing"),
        ('{"prompt": ""}', "prompt must have at least 1 characters"),
        (json.dumps({"prompt": "x" * 16_001}), "prompt must have at most 16000 characters"),
        ('{"prompt": "x", "max_new_tokens": 0}', "max_new_tokens must be at least 1"),
        ('{"prompt": "x", "temperature": 9}', "temperature must be at most 2"),
        ('{"prompt": "x", "stop": [""]}', r"stop\[0\] must have at least 1 characters"),
        ('{"prompt": "x", "stream": true}', "stream is not known"),
    ],
)
def test_a_bad_request_never_reaches_the_model(body, words):
    prompts = FakePrompts(ANSWER)

    with pytest.raises(Invalid, match=words):
        complete(body, prompts)

    assert [] == prompts.asked


def test_a_body_is_measured_in_bytes_before_it_is_parsed():
    with pytest.raises(TooLarge, match=f"at most {LARGEST_BODY} are read"):
        complete("ä" * (LARGEST_BODY // 2 + 1))


def test_the_current_model_is_the_one_that_serves():
    store = FakeRegistry(
        version(1, status="approved", published=NOW), version(2, status="approved"), version(3)
    )

    found = completions.current(registry=store)

    assert (1, 2.5, 300.0) == (found["version"], found["bits_per_byte"], found["perplexity"])
    json.dumps(found)


def test_before_the_first_publication_there_is_no_current_model():
    with pytest.raises(NotFound, match="no version"):
        completions.current(registry=FakeRegistry(version()))
