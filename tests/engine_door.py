"""The engine that tests use, and a door to it: when it is shut, the engine is gone to who goes by it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atelier.cloud.engines.docker import forwarder

JOIN = """
import os
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
def connect():
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(sys.argv[2])
    return engine
print("open", flush=True)
carry(listener, connect)
"""


def engine_host() -> str:
    """Return where the engine of the tests is."""
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@contextlib.contextmanager
def docker_api() -> Iterator[Any]:
    """A client of the engine that tests use."""
    import docker

    client = docker.from_env()
    try:
        yield client.api
    finally:
        client.close()


def check(progress: Iterator[Mapping[str, Any]]) -> None:
    """Read what the engine says of a build or a push to its end."""
    for step in progress:
        assert "error" not in step, step


def foreign() -> tuple[str, bytes]:
    """Return a processor that this machine has not, and a program for it."""
    program = bytearray(64)
    program[:18] = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00"
    name, program[18] = ("amd64", 0x3E) if os.uname().machine == "aarch64" else ("arm64", 0xB7)
    return name, bytes(program)


def as_built_for(name: str, architecture: str) -> None:
    """Load the image again, as one for another processor."""
    with docker_api() as api, tempfile.TemporaryFile() as saved, tempfile.TemporaryFile() as changed:
        for piece in api.get_image(name):
            saved.write(piece)
        saved.seek(0)
        with tarfile.open(fileobj=saved) as source, tarfile.open(fileobj=changed, mode="w") as target:
            manifest = json.loads(source.extractfile("manifest.json").read())
            for each in source:
                body = source.extractfile(each).read() if each.isfile() else b""
                if each.name == manifest[0]["Config"]:
                    body = json.dumps({**json.loads(body), "architecture": architecture}).encode()
                    each.size = len(body)
                target.addfile(each, io.BytesIO(body))
        changed.seek(0)
        check(api.load_image(changed))


class Door:
    """An open door, as a socket; `close` it in the end."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="door-"))
        self.path = self._folder / "door.sock"
        self._engine = engine_host().removeprefix("unix://")
        self.open()

    @property
    def host(self) -> str:
        """What DOCKER_HOST is for who goes by this door."""
        return f"unix://{self.path}"

    def open(self) -> None:
        """Open the door, or open it again."""
        self.path.unlink(missing_ok=True)
        source = Path(forwarder.__file__).read_text().replace("if __name__", "if False and __name__")
        self._process = subprocess.Popen(
            [sys.executable, "-c", source + JOIN, str(self.path), self._engine],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert "open\n" == self._process.stdout.readline()

    def shut(self) -> None:
        """End all that goes through the door; nothing comes through any more."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def close(self) -> None:
        """Shut the door for good."""
        self.shut()
        shutil.rmtree(self._folder)
