"""Installations that have one approved model, each made once for all system tests."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import docker_studio as studios
import webui_workshop as webuis
import workshop as shop
from engine_door import Door

from atelier.cloud.gateway import launch


@pytest.fixture(scope="session")
def workshop():
    """A cloud of its own, for these tests move what it serves; version 1 is published in it."""
    place = Path(tempfile.mkdtemp(prefix="atelier-system-"))
    try:
        made = shop.make(launch.start(place / "home"), place)
        made.home = place / "home"
        made.first = made.run(made.push())
        failure = made.first.failure
        assert failure is None, f"{failure.stage}: {failure.reason}"
        made.version, made.said = made.serving(), made.answer()
        yield made
    finally:
        launch.stop(place / "home")
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def studio():
    """A cloud whose containers are Docker's; version 1 was pushed with git, and approved with the AWS CLI."""
    place, door, made = Path(tempfile.mkdtemp(prefix="atelier-studio-")), Door(), None
    try:
        made = studios.make(place, door)
        asked = made.push_by_hand()
        assert asked.failure is None, f"{asked.failure.stage}: {asked.failure.reason}"
        made.first = made.decide_by_hand(asked.id, "Approved", "said at the command line")
        made.version, made.said = made.serving(), made.answer()
        yield made
    finally:
        uri = made.uri if made else None
        launch.stop(place / "home")
        door.close()
        if uri:
            studios.forget(uri)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def followed():
    """A cloud on Docker that follows an upstream; the first image was built for a push, and is published."""
    place, made = Path(tempfile.mkdtemp(prefix="atelier-followed-")), None
    try:
        made = webuis.make(place)
        made.refused = made.atelier("webui", "launch", "--yes")
        before = made.pipelines.latest(webuis.PIPELINE)
        made.push()
        made.first = made.settled(made.started(before))
        failure = made.first.failure
        assert failure is None, f"{failure.stage}: {failure.reason}"
        yield made
    finally:
        uri = made.uri if made else None
        launch.stop(place / "home")
        if uri:
            studios.forget(uri)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def workstation(followed):
    """What a launch of the newest image says, when it runs; in the end nothing of it is left."""
    yield followed.says("webui", "launch", "--yes")
    followed.says("webui", "terminate", "--yes", "--delete-data")
