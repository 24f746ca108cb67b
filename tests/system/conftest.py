"""An installation that has one approved model, made once for all system tests."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import workshop as shop

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
