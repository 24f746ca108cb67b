"""The image's program, as processes: it starts a stand-in for the WebUI as it would start the real one."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bucket as buckets
import httpx
import pytest
import webui_image
from containers import Served, wait_for
from standin_upstream import ROOT, Upstream

PROGRAM = Path(webui_image.__file__).parents[1]
SHARED = ROOT / "images" / "training" / "diffusion" / "diffusion"
PYTHON = ROOT / ".venv" / "gradio3" / "bin" / "python"


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """What the image holds: the program, the WebUI, and our extension among those that came with it."""
    root = tmp_path_factory.mktemp("image")
    upstream = Upstream(root / "git")
    ignored = shutil.ignore_patterns("__pycache__", ".git")
    shutil.copytree(upstream.folder, root / "webui", ignore=ignored)
    shutil.copytree(upstream.palette, root / "webui" / "repositories" / "standin-palette", ignore=ignored)
    shutil.copytree(ROOT / "extension", root / "webui" / "extensions-builtin" / "atelier", ignore=ignored)
    shutil.copytree(PROGRAM, root / "program", ignore=ignored)
    shutil.copytree(SHARED, root / "program" / "diffusion", ignore=ignored)
    return root


@contextmanager
def running(image: Path, home: Path, verb: str, **variables: str) -> Iterator[Served]:
    """Run a verb of the program on a free port; ask it to end with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "PORT": port,
        "SAGEMAKER_BIND_TO_PORT": port,
        "BIND_HOST": "127.0.0.1",
        "WEBUI_DIR": str(image / "webui"),
        "WEBUI_DATA": str(home / "data"),
        "WEBUI_PROGRAM_DIR": str(image / "program"),
        "WEBUI_CACHE_DIR": str(home / "checkpoints"),
        "WEBUI_FACE_PACKAGES": sysconfig.get_path("purelib"),
        "SAGEMAKER_BASE_DIR": str(home / "ml"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    (home / "data").mkdir(exist_ok=True)
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PYTHON, "-m", "webui_image", verb],
            cwd=image / "program", env=own | variables, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Served(f"http://127.0.0.1:{port}", process, log)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def bucket() -> Iterator[buckets.Bucket]:
    with buckets.opened() as opened:
        opened.put("kitten.safetensors", b"weights")
        yield opened


@pytest.fixture(scope="module")
def face(image, bucket, tmp_path_factory) -> Iterator[Served]:
    """SageMaker's face, once it is ready."""
    with running(image, tmp_path_factory.mktemp("face"), "serve", **bucket.variables) as served:
        wait_for(lambda: served.ping() == 200 or served.process.poll() is not None, 120)
        assert served.process.poll() is None, served.log.read_text()
        yield served


def task(**params: object) -> dict:
    models = {"Stable-diffusion": [{"name": "kitten.safetensors", "s3": "s3://bucket/kitten.safetensors"}]}
    return {"id": "7", "task_type": "txt2img", "models": models, "params": params}


def test_a_task_is_painted_by_the_webui(face):
    answer = face.ask(**task(prompt="a cat", seed=7, width=64, height=64))

    assert 200 == answer.status_code, answer.text
    assert {"id", "images", "parameters", "info"} == set(answer.json())
    assert 1 == len(answer.json()["images"])
    assert "Seed: 7" in answer.json()["info"]


def test_a_form_that_the_webui_refuses_is_a_bad_request_with_its_reason(face):
    answer = face.ask(**task(script_name="No such script"))

    assert 400 == answer.status_code
    assert "Script 'No such script' not found" in answer.json()["message"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": {"id": "7", "task_type": "none"}}, 400),
        ({"content": iter([b"{}"]), "headers": {"Content-Type": "application/json"}}, 411),
    ],
)
def test_what_is_no_task_is_refused_in_json(face, request_, status):
    answer = httpx.post(f"{face.url}/invocations", **request_)

    assert status == answer.status_code
    assert answer.json()["message"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(face):
    with socket.create_connection(("127.0.0.1", httpx.URL(face.url).port), 30) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n")

        assert b"HTTP/1.1 413 " == connection.recv(13)


def test_there_is_nothing_else(face):
    assert 404 == httpx.get(f"{face.url}/").status_code
    assert 404 == httpx.post(f"{face.url}/ping", json={}).status_code


def test_a_webui_without_our_extension_is_never_ready(image, bucket, tmp_path):
    bare = shutil.copytree(image, tmp_path / "bare")
    shutil.rmtree(bare / "webui" / "extensions-builtin")

    with running(bare, tmp_path, "serve", **bucket.variables) as served:
        code = served.process.wait(120)

    assert 1 == code
    assert "failed: the WebUI started without our extension" in served.log.read_text()


def test_a_webui_that_ends_ends_the_container(image, bucket, tmp_path):
    broken = shutil.copytree(image, tmp_path / "broken")
    (broken / "webui" / "webui.py").write_text("raise SystemExit(3)\n")

    with running(broken, tmp_path, "serve", **bucket.variables) as served:
        code = served.process.wait(120)

    assert 1 == code
    assert "failed: the WebUI ended with 3" in served.log.read_text()


@pytest.fixture(scope="module")
def people(image, tmp_path_factory) -> Iterator[Served]:
    """The WebUI for people, behind a login."""
    home = tmp_path_factory.mktemp("people")
    (home / "login").write_text("anna:correct horse\n".replace(" ", "-"))
    with running(image, home, "ui", WEBUI_AUTH_FILE=str(home / "login")) as served:
        wait_for(lambda: is_up(served) or served.process.poll() is not None, 120)
        assert served.process.poll() is None, served.log.read_text()
        yield served


def is_up(served: Served) -> bool:
    try:
        return httpx.get(f"{served.url}/").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(("password", "status"), [("wrong", 400), ("correct-horse", 200)])
def test_people_come_in_by_their_password_only(people, password, status):
    with httpx.Client(base_url=people.url) as browser:
        assert 401 == browser.get("/config").status_code

        login = browser.post("/login", data={"username": "anna", "password": password})

        assert status == login.status_code
        assert (status == 200) == ("tab_atelier" in browser.get("/config").text)


def test_the_password_is_in_no_argument_of_a_process_and_in_no_log(people):
    arguments = b"".join(each.read_bytes() for each in _children(people.process.pid))

    assert b"--gradio-auth-path" in arguments
    assert b"correct-horse" not in arguments
    assert "correct-horse" not in people.log.read_text()


def _children(pid: int) -> list[Path]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{each}/cmdline") for each in children]


def test_asked_to_end_it_ends_well_and_leaves_nothing_running(image, tmp_path):
    with running(image, tmp_path, "ui") as served:
        wait_for(lambda: _children(served.process.pid))
        [webui] = _children(served.process.pid)

        served.process.send_signal(signal.SIGTERM)

        assert 0 == served.process.wait(30)
        assert not webui.exists()


@pytest.mark.parametrize(
    ("verb", "variables", "reason"),
    [
        ("ui", {"BIND_HOST": "0.0.0.0"}, "name a file with lines `user:password` in WEBUI_AUTH_FILE"),
        ("ui", {"WEBUI_AUTH_FILE": "/nonexistent"}, "/nonexistent cannot be read by this user"),
        ("ui", {"WEBUI_AUTH_FILE": "/dev/null"}, "must hold lines `user:password`"),
        ("ui", {"PORT": "many"}, "PORT='many' must be a whole number from 1 to 65535"),
        ("serve", {"SAGEMAKER_BIND_TO_PORT": "0"}, "SAGEMAKER_BIND_TO_PORT='0' must be"),
        ("train", {}, "this container serves only"),
    ],
)
def test_what_cannot_run_says_why_in_one_line(image, tmp_path, verb, variables, reason):
    with running(image, tmp_path, verb, **variables) as served:
        assert 1 == served.process.wait(60)

    [line] = served.log.read_text().splitlines()
    assert reason in line


def test_sagemaker_is_told_why_nothing_is_trained(image, tmp_path):
    with running(image, tmp_path, "train") as served:
        served.process.wait(60)

    assert "serves only" in (tmp_path / "ml" / "output" / "failure").read_text()
