"""The fleet's container: it serves the model that the parameter names, once that has proven itself."""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from containers import Served, wait_for

pytestmark = pytest.mark.timeout(1500)  # the first run on a machine installs torch

PARAMETER = "/atelier/fleet/model"
KEY = "/models/fleet/first/model.tar.gz"


@dataclass
class Account:
    """As much of SSM and S3 as the container asks for."""

    archive: bytes
    parameters: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: int = 0
    port: int = 0

    def name(self, **changes: object) -> None:
        """Let version 7 of the parameter name the archive."""
        model = {
            "name": "first",
            "bucket": "models",
            "key": "fleet/first/model.tar.gz",
            "version_id": "v1",
            "sha256": hashlib.sha256(self.archive).hexdigest(),
            "size": len(self.archive),
            "landed": "2001-01-01T00:00:00+00:00",
        }
        self.parameters[f"{PARAMETER}:7"] = json.dumps({**model, **changes})

    def answer(self, command: str, path: str, body: bytes) -> tuple[int, bytes]:
        if command == "POST":
            name = json.loads(body)["Name"]
            self.asked.append(name)
            if name not in self.parameters:
                return 400, json.dumps({"__type": "ParameterVersionNotFound"}).encode()
            return 200, json.dumps({"Parameter": {"Name": name, "Value": self.parameters[name]}}).encode()
        self.asked.append(path)
        found = path.startswith(f"{KEY}?") and "versionId=v1" in path
        return (200, self.archive) if found else (404, b"<Error><Code>NoSuchVersion</Code></Error>")


@contextmanager
def opened(archive: bytes) -> Iterator[Account]:
    account = Account(archive)

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = account.answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET" and account.cut:
                account.cut -= 1
                content = content[: len(content) // 2]
            self.wfile.write(content)

        do_GET = do_POST = respond

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        account.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield account
        server.shutdown()


def packed(folder: Path, **changes: bytes) -> bytes:
    """Pack a model as SageMaker does; *changes* replace files."""
    made = io.BytesIO()
    replaced = {name.replace("__", "."): body for name, body in changes.items()}
    with tarfile.open(fileobj=made, mode="w:gz") as file:
        for path in sorted(folder.iterdir()):
            body = replaced.get(path.name, path.read_bytes())
            member = tarfile.TarInfo(path.name)
            member.size = len(body)
            file.addfile(member, io.BytesIO(body))
    return made.getvalue()


@contextmanager
def fleet(image, account: Account, log: Path, **variables: str) -> Iterator[Served]:
    """Run a task on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        "MODEL_PARAMETER": f"{PARAMETER}:7",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{account.port}",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": "eu-west-1",
        **variables,
    }
    process = image.start("fleet", log.parent, log, **given)
    try:
        yield Served(f"http://127.0.0.1:{port}", process, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def model(trained) -> Path:
    return trained.base / "model"


def test_a_task_serves_the_version_that_it_was_told_and_ends_quietly(image, model, tmp_path):
    with opened(packed(model)) as account:
        account.name()
        account.cut = 1  # a download that was cut off begins anew
        with fleet(image, account, tmp_path / "log") as task:
            pings = []
            wait_for(lambda: pings.append(task.ping()) or pings[-1] == 200 or task.process.poll() is not None)
            assert {0, 200} >= set(pings) - {503}, task.log.read_text()
            answer = task.ask(prompt="The", max_new_tokens=3).json()
            task.process.send_signal(signal.SIGTERM)

            assert 0 == task.process.wait(30)

    assert ("first", hashlib.sha256(account.archive).hexdigest()) == (
        answer["model"]["name"],
        answer["model"]["sha256"],
    )
    assert 3 == answer["completions"][0]["completion_tokens"]
    assert f"{PARAMETER}:7" == account.asked[0]
    assert re.search(r"^proven name=first bits_per_token=\d", task.log.read_text(), re.MULTILINE)


def noise(model: Path) -> bytes:
    """Weights of the right shapes that mean nothing."""
    body = bytearray((model / "model.safetensors").read_bytes())
    start = 8 + int.from_bytes(body[:8], "little")
    for place in range(start, len(body)):
        body[place] = (place * 2654435761 >> 7) & 0x3F  # small numbers of either kind
    return bytes(body)


def lost(model: Path) -> bytes:
    """Weights that are no numbers."""
    body = (model / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(body[:8], "little")
    return body[:start] + b"\xff" * (len(body) - start)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (noise, "the model answers no better than guessing"),
        (lost, "the model answers what is no number"),
        (lambda model: b"x" * 99, "Error"),
    ],
)
def test_a_model_that_answers_garbage_never_listens(
    image, model, tmp_path, damage: Callable[[Path], bytes], reason
):
    with opened(packed(model, model__safetensors=damage(model))) as account:
        account.name()
        with fleet(image, account, tmp_path / "log") as task:
            pings = []
            wait_for(lambda: pings.append(task.ping()) or task.process.poll() is not None)

    last = task.log.read_text().splitlines()[-1]
    assert (1, {0}) == (task.process.returncode, set(pings))
    assert last.startswith("error: ")
    assert reason in last


def test_what_cannot_be_fetched_ends_the_task_before_torch_is_loaded(image, model, tmp_path):
    with opened(packed(model)) as account:
        reasons = {}
        for name, change in {
            "sha256": {"sha256": "0" * 64},
            "gone": {"version_id": "v0"},
            "large": {"size": 6 * 1024**3 + 1},
            "nonsense": None,
            "nothing": {},
        }.items():
            if change is None:
                account.parameters[f"{PARAMETER}:7"] = "[]"
            else:
                account.name(**change)
            more = {"MODEL_PARAMETER": ""} if name == "nothing" else {}
            with fleet(image, account, tmp_path / name, **more) as task:
                assert 1 == task.process.wait(60)
            (reasons[name],) = re.findall("^error: (.*)$", task.log.read_text(), re.MULTILINE)

    assert re.search("has the SHA-256 [0-9a-f]{64}, not 0{64}", reasons["sha256"])
    assert "(version v0) cannot be read" in reasons["gone"]
    assert "is larger than 6 GiB" in reasons["large"]
    assert "names no model" in reasons["nonsense"]
    assert "MODEL_PARAMETER names no parameter" in reasons["nothing"]


def test_of_a_version_that_ssm_has_forgotten_the_newest_counts(image, model, tmp_path):
    with opened(b"not fetched whole") as account:
        account.name(sha256="0" * 64)
        account.parameters[PARAMETER] = account.parameters.pop(f"{PARAMETER}:7")
        with fleet(image, account, tmp_path / "log") as task:
            assert 1 == task.process.wait(60)

    assert [f"{PARAMETER}:7", PARAMETER] == account.asked[:2]
