"""Endpoints, run as containers."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from containers import Served, served, wait_for

pytestmark = pytest.mark.timeout(1500)  # the first run on a machine installs torch

PROMPTS = ["The assert statement", "A class", "x", "If the expression is not one of these then"]


@pytest.fixture(scope="module")
def endpoint(image, trained, tmp_path_factory) -> Iterator[Served]:
    """The small model, ready."""
    with served(image, trained.base, tmp_path_factory.mktemp("serve") / "log") as running:
        wait_for(lambda: running.ping() == 200)
        yield running


def answered(log: str) -> int:
    return len(re.findall("^answered", log, re.MULTILINE))


def test_an_endpoint_is_not_ready_and_then_ready_and_ends_quietly(image, trained, tmp_path):
    with served(image, trained.base, tmp_path / "log") as endpoint:
        pings = []
        wait_for(lambda: pings.append(endpoint.ping()) or pings[-1] == 200)
        endpoint.process.send_signal(signal.SIGTERM)

        assert 0 == endpoint.process.wait(30)
        assert [0, 503, 200] == sorted(set(pings), key=pings.index)


def test_a_completion_counts_its_tokens_and_tells_the_model(endpoint, trained):
    answer = endpoint.ask(prompt="The assert statement", max_new_tokens=7, temperature=0).json()

    (completion,) = answer["completions"]
    assert ("length", 7) == (completion["finish_reason"], completion["completion_tokens"])
    assert 0 < completion["prompt_tokens"] < 20
    metrics = json.loads((trained.base / "model" / "metrics.json").read_text())
    assert (60, metrics["bits_per_byte"]) == (answer["model"]["steps"], answer["model"]["bits_per_byte"])


def test_text_does_not_depend_on_who_shares_the_batch(endpoint):
    requests = [
        {"prompt": prompt, "max_new_tokens": 8 + 5 * number, **choice}
        for number, prompt in enumerate(PROMPTS)
        for choice in ({"temperature": 0}, {"temperature": 1.5, "seed": number, "top_k": 50 * number})
    ]
    alone = [endpoint.texts(**each) for each in requests]

    with ThreadPoolExecutor(16) as crowd:
        together = list(crowd.map(lambda each: endpoint.texts(**each), requests * 6))

    assert alone * 6 == together


def test_prompts_in_a_list_are_answered_as_if_each_were_alone(endpoint):
    settings = {"max_new_tokens": 12, "temperature": 1, "seed": 5}

    assert [*(endpoint.texts(prompt=each, **settings)[0] for each in PROMPTS)] == endpoint.texts(
        prompt=PROMPTS, **settings
    )


def test_a_seed_repeats_a_text_and_another_seed_makes_another(endpoint):
    one, again, other = (
        endpoint.texts(prompt="The", max_new_tokens=20, temperature=1.2, seed=seed) for seed in (1, 1, 2)
    )

    assert one == again != other


def test_the_narrowest_choices_are_the_likeliest_token(endpoint):
    likeliest = endpoint.texts(prompt="The", temperature=0)

    assert likeliest == endpoint.texts(prompt="The", temperature=1, top_k=1)
    assert likeliest == endpoint.texts(prompt="The", temperature=1, top_p=1e-9)
    assert likeliest == endpoint.texts(prompt="The", temperature=1e-300)


def test_a_stop_text_ends_a_completion_and_is_no_part_of_it(endpoint):
    request = {"prompt": "The", "max_new_tokens": 40, "temperature": 1, "seed": 3}
    (whole,) = endpoint.texts(**request)
    stop = whole[10:13]

    answer = endpoint.ask(**request, stop=["never written", stop]).json()["completions"][0]

    assert (whole[: whole.index(stop)], "stop") == (answer["text"], answer["finish_reason"])
    assert answer["completion_tokens"] < 40


def test_any_unicode_is_a_prompt(endpoint):
    assert 1 == len(endpoint.texts(prompt="Grüße, 世界 🎈\x01<|endoftext|>", max_new_tokens=5))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"prompt": "word " * 60}, r"prompt has \d+ tokens; .* the 64 tokens this model can hold"),
        ({"prompt": "a", "top_k": 601}, "top_k must be a whole number from 0 to 600"),
        ({"prompt": ""}, "prompt must not be empty"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(endpoint, request_, expected):
    answer = endpoint.ask(**request_)

    assert 400 == answer.status_code
    assert re.search(expected, answer.json()["message"])


def test_the_written_out_model_computes_what_transformers_computes(image, trained, tmp_path):
    script = tmp_path / "compare.py"
    script.write_text(COMPARE)

    log = tmp_path / "log"
    code = image.python(script, trained.base / "model", log).wait(60)

    assert (0, True) == (code, float(log.read_text().splitlines()[-1]) < 1e-4), log.read_text()


COMPARE = """
import sys
import torch
from pathlib import Path
from gpt_neo.artefact import configuration
from gpt_neo.inference import Model
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoForCausalLM

folder = Path(sys.argv[1])
ids = torch.randint(0, 600, (3, 64), generator=torch.Generator().manual_seed(0))
theirs = GPTNeoForCausalLM.from_pretrained(folder).eval()(input_ids=ids).logits[:, -1]
model = Model.load(folder, configuration(folder), torch.float64)
starts = torch.zeros(3, dtype=torch.long)
ours, cache = model.forward(ids[:, :40], starts)
for column in range(40, 64):
    ours, cache = model.forward(ids[:, column : column + 1], starts, cache)
print((ours - theirs).abs().max().item())
"""


def test_a_full_queue_refuses_at_once_and_what_was_accepted_is_finished_before_the_end(
    image, trained, tmp_path
):
    small = {"GPT_NEO_MAX_BATCH": "1", "GPT_NEO_MAX_QUEUE": "8"}
    with served(image, trained.base, tmp_path / "log", **small) as endpoint, ThreadPoolExecutor(3) as clients:
        wait_for(lambda: endpoint.ping() == 200)
        full = threading.Event()
        asking = [clients.submit(ask_until, full, endpoint) for _ in range(3)]
        assert full.wait(120)
        endpoint.process.send_signal(signal.SIGTERM)

        assert 0 == endpoint.process.wait(30)
        answers = [answer for each in asking for answer in each.result()]
        assert {200, 503} == {each.status_code for each in answers}
        refused = [each for each in answers if each.status_code == 503]
        assert {"1"} == {each.headers["Retry-After"] for each in refused}
        assert any("too many requests" in each.json()["message"] for each in refused)
        with pytest.raises(httpx.ConnectError):
            endpoint.ask(prompt="x")


def ask_until(full: threading.Event, endpoint: Served) -> list[httpx.Response]:
    """Keep the queue full with others that do the same, until one of them is refused."""
    answers = []
    while not full.is_set():
        try:
            answers.append(endpoint.ask(prompt=["x"] * 8, max_new_tokens=40, temperature=0))
        except httpx.ConnectError:  # another one was refused meanwhile, and the end came before this one
            break
        if answers[-1].status_code == 503:
            full.set()
    return answers


def test_a_client_that_hangs_up_is_not_answered(endpoint):
    body = json.dumps({"prompt": "x", "max_new_tokens": 62}).encode()
    before = endpoint.log.read_text()
    with socket.create_connection(("127.0.0.1", int(endpoint.url.rpartition(":")[2]))) as client:
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)

    endpoint.texts(prompt="x", max_new_tokens=62)

    assert answered(before) + 1 == answered(endpoint.log.read_text())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda model: (model / "model.safetensors").unlink(), "no model in .*: model.safetensors missing"),
        (lambda model: (model / "model.safetensors").write_bytes(b"x" * 99), "the model cannot be loaded"),
        (
            lambda model: (model / "config.json").write_text('{"model_type": "llama"}'),
            "holds llama with None; this container serves",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_ends_the_endpoint_with_a_reason(
    image, copied, tmp_path, damage, reason
):
    damage(copied / "model")
    with served(image, copied, tmp_path / "log") as endpoint:
        pings = []
        wait_for(lambda: pings.append(endpoint.ping()) or endpoint.process.poll() is not None)

        assert 1 == endpoint.process.returncode
        assert 500 in pings
        assert re.search(f"^failed: .*{reason}", endpoint.log.read_text(), re.MULTILINE)


def test_a_setting_that_makes_no_sense_is_refused(image, trained, tmp_path):
    with served(image, trained.base, tmp_path / "log", GPT_NEO_MAX_BATCH="many") as endpoint:
        assert 1 == endpoint.process.wait(30)
        assert "GPT_NEO_MAX_BATCH='many' must be a whole number from 1 to 1024" in endpoint.log.read_text()
