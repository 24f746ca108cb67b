"""A serving fleet of containers without torch, in a cloud of its own, and models for it."""

from __future__ import annotations

import io
import shutil
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import small_images

from atelier import deploy
from atelier.cli.connect import reached
from atelier.client import fleet as client
from atelier.cloud.gateway import launch

ROOT = Path(__file__).resolve().parents[1]
GPT_NEO = ROOT / "images" / "training" / "gpt_neo" / "gpt_neo"
PROGRAM = ("__init__", "artefact", "errors", "landed")
CONFIG = '{"model_type": "gpt_neo", "activation_function": "gelu_new"}'
GARBAGE = "garbage"
"""The word of a model that does not prove itself."""


class _Cloud:
    """What images are pushed to."""

    def __init__(self, home: Path, clients: object) -> None:
        self.home, self._clients = home, clients

    def client(self, name: str) -> object:
        return getattr(self._clients, name)


def archive(folder: Path, word: str) -> Path:
    """Pack a model that says a word."""
    path = folder / f"{word}.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        for name, text in {"config.json": CONFIG, "model.safetensors": word, "tokenizer.json": "{}"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            file.addfile(member, io.BytesIO(text.encode()))
    return path


@contextmanager
def installed() -> Iterator[tuple[client.Fleet, Path]]:
    """A fleet in which no model has landed, and a folder of its own."""
    place = Path(tempfile.mkdtemp(prefix="atelier-fleet-"))
    try:
        clients = reached(launch.start(place / "home", engine="process"))
        deploy.deploy(clients, prefix="atelier", order=("registry",))
        name = clients.ecr.describe_repositories()["repositories"][0]["repositoryName"]
        files = {f"gpt_neo/{each}.py": (GPT_NEO / f"{each}.py").read_text() for each in PROGRAM}
        files["tiny_fleet.py"] = (ROOT / "tests" / "system" / "tiny_fleet.py").read_text()
        borrowed = f"{small_images.DOCKERFILE}ENV PYTHONPATH={sysconfig.get_path('purelib')}\n"
        command = ["python", "tiny_fleet.py"]
        image = small_images.push(_Cloud(place, clients), name, files, command, dockerfile=borrowed)
        parts = deploy.PARTS["fleet"]
        deploy.deploy(clients, prefix="atelier", parameters={"FleetImage": image}, order=parts)
        yield client.connect(clients), place
    finally:
        launch.stop(place / "home")
        shutil.rmtree(place, ignore_errors=True)
