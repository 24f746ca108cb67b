"""The WebUI's SageMaker face: a task becomes a form, a checkpoint a file that the WebUI sees."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from containers import wait_for
from diffusion.cache import Cache, Found
from diffusion.errors import Full, Invalid, Stopped, Unreachable
from webui_image import face
from webui_image.face import Problem, Service
from webui_image.painter import Painter

KITTEN = b"weights of a kitten"


class Store:
    """Checkpoints in memory."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = {f"s3://models/{name}.safetensors": body for name, body in objects.items()}

    def find(self, address: str) -> Found:
        if address not in self.objects:
            raise Invalid(f"{address} cannot be read")
        return Found(size=len(self.objects[address]), version="1")

    def read(self, address: str, version: str) -> Iterator[bytes]:
        yield self.objects[address]


class WebUI:
    """Remembers what it is asked to paint, and for how long it may."""

    def __init__(self) -> None:
        self.forms, self.refreshed, self.interrupted = [], 0, threading.Event()
        self.is_slow = False

    def refresh_checkpoints(self) -> None:
        self.refreshed += 1

    def interrupt(self) -> None:
        self.interrupted.set()

    def paint(self, task_type: str, form: dict) -> dict:
        self.forms.append((task_type, form))
        if self.is_slow:
            assert self.interrupted.wait(30)
        return {"images": ["picture"], "parameters": form, "info": '{"seed": 7}'}


@pytest.fixture
def webui():
    return WebUI()


@pytest.fixture
def shown(tmp_path):
    return tmp_path / "shown"


@pytest.fixture
def painter(webui, shown, tmp_path):
    store = Store(kitten=KITTEN, cat=b"weights of a cat!!!")
    return Painter(webui, Cache(tmp_path / "kept", 30, store), shown)


def body(*names: str, task_type: str = "txt2img", **params: object) -> bytes:
    models = [{"name": f"{name}.safetensors", "s3": f"s3://models/{name}.safetensors"} for name in names]
    task = {"id": "7", "task_type": task_type, "models": {"Stable-diffusion": models}, "params": params}
    return json.dumps(task).encode()


def never() -> bool:
    return False


def test_a_task_is_answered_as_the_diffusion_image_answers_it(painter):
    answer = painter.answer(body("kitten", prompt="a cat"), never)

    assert {
        "id": "7",
        "images": ["picture"],
        "parameters": {"prompt": "a cat"},
        "info": '{"seed": 7}',
    } == answer


def test_the_webui_sees_the_checkpoint_by_the_name_that_people_know(painter, webui, shown):
    painter.answer(body("kitten"), never)

    [(_, form)] = webui.forms
    title = form["override_settings"]["sd_model_checkpoint"]
    assert f"{hashlib.sha256(KITTEN).hexdigest()[:16]}/kitten.safetensors" == title
    assert KITTEN == (shown / title).read_bytes()
    assert 1 == webui.refreshed


def test_it_looks_for_checkpoints_again_only_when_there_is_another_one(painter, webui):
    painter.answer(body("kitten"), never)
    painter.answer(body("kitten"), never)

    assert 1 == webui.refreshed


def test_a_checkpoint_that_the_cache_let_go_is_not_shown_any_more(painter, shown):
    painter.answer(body("kitten"), never)
    painter.answer(body("cat"), never)  # both together are more than the cache keeps

    assert ["cat.safetensors"] == [each.name for each in shown.glob("*/*")]


def test_all_that_the_webui_knows_reaches_it_and_nothing_is_saved(painter, webui):
    given = {"enable_hr": True, "alwayson_scripts": {"x": {"args": [1]}}, "clip_skip": 2, "save_images": True}

    painter.answer(body("kitten", task_type="img2img", init_images=["p"], **given), never)

    [(task_type, form)] = webui.forms
    assert ("img2img", True, given["alwayson_scripts"]) == (
        task_type,
        form["enable_hr"],
        form["alwayson_scripts"],
    )
    assert (2, False, True) == (
        form["override_settings"]["CLIP_stop_at_last_layers"],
        form["save_images"],
        form["do_not_save_samples"],
    )


def test_settings_of_one_task_do_not_outlive_it(painter, webui):
    settings = {"eta_noise_seed_delta": 31337}

    painter.answer(
        body("kitten", override_settings=settings, override_settings_restore_afterwards=False), never
    )

    [(_, form)] = webui.forms
    assert (31337, True) == (
        form["override_settings"]["eta_noise_seed_delta"],
        form["override_settings_restore_afterwards"],
    )


def test_pictures_of_the_request_are_not_repeated_in_the_answer(painter):
    answer = painter.answer(body("kitten", task_type="img2img", init_images=["p" * 100]), never)

    assert {"init_images": None} == answer["parameters"]


def test_the_form_chooses_among_several_checkpoints(painter, webui):
    settings = {"sd_model_checkpoint": "cat.safetensors [0123abcd]"}

    painter.answer(body("kitten", "cat", override_settings=settings), never)

    assert webui.forms[0][1]["override_settings"]["sd_model_checkpoint"].endswith("/cat.safetensors")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"{", "not valid JSON"),
        (body(), "models.Stable-diffusion must be a list"),
        (body("kitten", task_type="upscale"), "task_type must be one of txt2img, img2img"),
        (body("kitten", "cat"), "must name one of kitten, cat"),
        (body("dog"), "s3://models/dog.safetensors cannot be read"),
        (body("kitten").replace(b'"Stable', b'"Lora": [{}], "Stable'), "models.Lora is not supported"),
        (body("kitten", override_settings=3), "params.override_settings must be a JSON object"),
        (body("kitten").replace(b'"params": {}', b'"params": []'), "params must be a JSON object"),
    ],
)
def test_what_cannot_be_painted_is_refused_and_never_reaches_the_webui(painter, webui, sent, reason):
    with pytest.raises(Invalid) as refused:
        painter.answer(sent, never)

    assert reason in str(refused.value)
    assert [] == webui.forms


def test_what_nobody_waits_for_any_more_is_interrupted(painter, webui):
    webui.is_slow = True

    with pytest.raises(Stopped):
        painter.answer(body("kitten"), lambda: bool(webui.forms))

    assert webui.interrupted.is_set()


def test_a_container_that_ends_fetches_nothing_to_its_end(service, webui, tmp_path):
    class Slow(Store):
        def read(self, address, version):
            for _ in range(3000):  # a minute
                asked.set()
                time.sleep(0.02)
                yield b"!"

    asked = threading.Event()
    painter = Painter(webui, Cache(tmp_path / "slow", 5000, Slow(kitten=b"!" * 3000)), tmp_path / "shown")
    service.answer, service.close = painter.answer, painter.close
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(service.invoke, body("kitten"), never)
        assert asked.wait(30)
        service.end()

        with pytest.raises(
            Problem, match=r"the container ends; s3://models/kitten.safetensors was not fetched"
        ):
            answer.result(30)


def test_whoever_leaves_the_queue_is_not_painted_for(painter, webui):
    webui.is_slow, first_is_over = True, threading.Event()
    first = threading.Thread(target=_swallow, args=(painter, first_is_over.is_set))
    first.start()
    try:
        wait_for(lambda: webui.forms)
        with pytest.raises(Stopped):
            painter.answer(body("kitten"), lambda: True)
    finally:
        first_is_over.set()
        first.join(30)

    assert 1 == len(webui.forms)


def _swallow(painter, is_over) -> None:
    with pytest.raises(Stopped):
        painter.answer(body("kitten"), is_over)


@pytest.fixture
def service():
    return Service(max_queue=1, max_body=100)


def test_a_service_says_that_it_is_not_ready_and_why_it_never_will(service):
    with pytest.raises(Problem) as waiting:
        service.ping()
    service.failure = "the WebUI ended with 1"
    with pytest.raises(Problem, match="ended with 1") as failed:
        service.invoke(b"", never)

    assert (503, 500) == (waiting.value.status, failed.value.status)


@pytest.mark.parametrize(
    ("error", "status"), [(Invalid("x"), 400), (Unreachable("x"), 502), (Full("x"), 503), (Stopped("x"), 503)]
)
def test_every_refusal_has_its_status(service, error, status):
    def answer(body, is_over):
        raise error

    service.answer = answer

    with pytest.raises(Problem) as refused:
        service.invoke(b"", never)

    assert (status, status > 500) == (refused.value.status, "Retry-After" in refused.value.headers)


def test_more_requests_than_are_answered_in_time_are_refused(service):
    asked, may_end = threading.Event(), threading.Event()

    def answer(body, is_over):
        asked.set()
        assert may_end.wait(30)
        return {"images": []}

    service.answer = answer
    first = threading.Thread(target=service.invoke, args=(b"", never))
    first.start()
    assert asked.wait(30)
    with pytest.raises(Problem, match="too many requests"):
        service.invoke(b"", never)
    may_end.set()
    first.join(30)

    assert b'{"images": []}' == service.invoke(b"", never)


def test_a_request_whose_sender_is_gone_ends_before_its_answer(service, monkeypatch):
    monkeypatch.setattr(face, "POLL_SECONDS", 0.01)
    is_over_seen = threading.Event()

    def answer(body, is_over):
        while not is_over():
            pass
        is_over_seen.set()
        return {"images": []}

    service.answer = answer

    with pytest.raises(Problem, match="nobody waits") as refused:
        service.invoke(b"", lambda: True)

    assert is_over_seen.wait(30)
    assert 503 == refused.value.status
