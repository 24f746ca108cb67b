"""The training images: their pure modules by import, all of each as a container."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TRAINING = HERE.parents[1] / "images" / "training"
WEBUI = HERE.parents[1] / "images" / "webui"
sys.path[:0] = [str(TRAINING / "gpt_neo"), str(TRAINING / "diffusion"), str(HERE)]
sys.path[:0] = [str(TRAINING), str(WEBUI), str(WEBUI / "program")]

import containers  # noqa: E402
import jobs  # noqa: E402


@dataclass(frozen=True)
class Trained:
    """A finished training job."""

    base: Path
    code: int
    log: str


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> containers.Built:
    """The image as the process engine builds it; its dependencies take minutes once per machine."""
    return containers.built(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def diffusion_image(tmp_path_factory) -> containers.Built:
    """The image that serves, trains and merges, as the process engine builds it."""
    return containers.built(tmp_path_factory.mktemp("home"), "diffusion")


@pytest.fixture(scope="session")
def learned(diffusion_image, tmp_path_factory) -> jobs.Done:
    """A small LoRA, trained without interruption."""
    base = jobs.training(tmp_path_factory.mktemp("learned"))
    return jobs.done(diffusion_image, base)


@pytest.fixture(scope="session")
def trained(image, tmp_path_factory) -> Trained:
    """A small model, trained without interruption."""
    base = containers.prepare(tmp_path_factory.mktemp("trained"), containers.TEXT, **containers.SMALL)
    return Trained(base, *containers.train(image, base))


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """The small model's folder, to go on from or to damage."""
    return Path(shutil.copytree(trained.base, tmp_path / "ml"))
