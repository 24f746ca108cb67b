"""The middleware, deployed once into a cloud of its own."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import studio as shop

from atelier.cloud.gateway import launch


@pytest.fixture(scope="session")
def studio():
    """Its endpoints run an image that paints one pixel at once."""
    place = Path(tempfile.mkdtemp(prefix="atelier-middleware-"))
    try:
        yield shop.opened(place / "home")
    finally:
        launch.stop(place / "home")
        shutil.rmtree(place, ignore_errors=True)
