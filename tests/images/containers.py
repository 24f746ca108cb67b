"""Run a training image as SageMaker would: its own files, its own environment, /opt/ml in a folder."""

from __future__ import annotations

import json
import os
import pydoc_data.topics
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from atelier.cloud.engines.build import Order, build
from atelier.cloud.engines.images import ImageStore
from atelier.cloud.engines.layers import Layers, interpreter
from atelier.cloud.gateway import launch

TRAINING = Path(__file__).parents[2] / "images" / "training"

TEXT = "\n\n".join(pydoc_data.topics.topics.values())[:120_000]

#: Small enough for two seconds of arithmetic, large enough to learn something.
SMALL = {
    "steps": 60,
    "batch_size": 4,
    "context": 64,
    "layers": 2,
    "hidden": 64,
    "heads": 2,
    "vocab_size": 600,
    "dropout": 0.1,
    "log_every": 1,
    "checkpoint_every": 20,
    "evaluations": 2,
    "threads": 1,
    "learning_rate": 0.003,
}


@dataclass(frozen=True)
class Built:
    """The image, ready to run."""

    command: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str]
    memory: int | None = None

    def limited(self, memory: int) -> Built:
        """Return this image on a machine with so many bytes of memory to address."""
        return replace(self, memory=memory)

    def start(self, verb: str, base: Path, log: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Start the container with *verb*, its output in *log*."""
        own = {"SAGEMAKER_BASE_DIR": str(base), "HOME": str(base)}
        return self._run([*self.command, verb], log, own | variables)

    def python(self, script: Path, argument: Path, log: Path) -> subprocess.Popen[bytes]:
        """Run a script with what the image has."""
        return self._run([self.command[0], str(script), str(argument)], log, {"PYTHONPATH": str(self.folder)})

    def _run(self, command: list[str], log: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        environment = {**self.variables, **variables}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        if self.memory:
            limit(process.pid, self.memory)
        return process


def limit(process: int, memory: int) -> None:
    """Let a process address so much memory, and no more."""
    resource.prlimit(process, resource.RLIMIT_AS, (memory, memory))


def built(home: Path, name: str = "gpt_neo") -> Built:
    """Build an image with the process engine; its dependencies come from the cache all clouds share."""
    context = TRAINING / name
    layers, store = Layers(launch.default_cache()), ImageStore(home)
    order = Order(context=context, dockerfile=context / "Dockerfile", arguments={"LOCK": chosen_lock(name)})
    image = build(order, store=store, layers=layers, log=lambda line: None)
    environment = layers.environment(store.locks(image), interpreter(image.python), lambda line: None)
    files, config = store.unpack(image), image.config["config"]
    program, *arguments = config["Entrypoint"]
    variables = dict(each.split("=", 1) for each in config["Env"]) | {"LANG": "C.UTF-8"}
    return Built(
        (str(environment / "bin" / program), *arguments),
        files / config["WorkingDir"].lstrip("/"),
        variables | {"PATH": f"{environment / 'bin'}:{os.defpath}"},
    )


def chosen_lock(name: str) -> str:
    """Ask the script that the buildspec asks."""
    command = [sys.executable, str(TRAINING / "choose_lock.py"), str(TRAINING / name)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def prepare(base: Path, text: str | bytes, **hyperparameters: object) -> Path:
    """Lay out /opt/ml for a training job."""
    (base / "input" / "config").mkdir(parents=True)
    (base / "input" / "data" / "training").mkdir(parents=True)
    strings = {name: str(value) for name, value in hyperparameters.items()}
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(strings))
    content = text.encode() if isinstance(text, str) else text
    (base / "input" / "data" / "training" / "text.txt").write_bytes(content)
    return base


def train(image: Built, base: Path) -> tuple[int, str]:
    """Run a training job to its end; return its exit code and its log."""
    log = base / "log"
    code = image.start("train", base, log).wait(120)
    return code, log.read_text()


def train_until(image: Built, base: Path, line: str) -> tuple[int, str]:
    """Run a training job and send SIGTERM when *line* is in its log."""
    log = base / "log"
    process = image.start("train", base, log)
    wait_for(lambda: line in log.read_text() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    return process.wait(120), log.read_text()


def losses(log: str) -> dict[str, str]:
    """Read what was measured at each step: `{"train step=20": "loss=5.1"}`."""
    return dict(re.findall(r"^(\w+ step=\d+) of=\d+ (loss=\S+)", log, re.MULTILINE))


@dataclass
class Served:
    """A container that serves."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, **request: object) -> httpx.Response:
        """Post one request."""
        return httpx.post(f"{self.url}/invocations", json=request, timeout=60)

    def texts(self, **request: object) -> list[str]:
        """Post one request and return the texts of its completions."""
        answer = self.ask(**request)
        assert 200 == answer.status_code, answer.text
        return [each["text"] for each in answer.json()["completions"]]

    def ping(self) -> int:
        """Return the status of /ping, or 0 while nobody listens."""
        try:
            return httpx.get(f"{self.url}/ping").status_code
        except httpx.TransportError:
            return 0


@contextmanager
def served(image: Built, base: Path, log: Path, **variables: str) -> Iterator[Served]:
    """Serve the model in *base* on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"BIND_HOST": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": str(port)}
    process = image.start("serve", base, log, **place, **variables)
    try:
        yield Served(f"http://127.0.0.1:{port}", process, log)
    finally:
        process.kill()
        process.wait()


def wait_for(condition, seconds: float = 60) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
