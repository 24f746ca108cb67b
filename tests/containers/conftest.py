"""Engines and builds in folders of their own."""

import pytest

from atelier.cloud.engines.images import ImageStore
from atelier.cloud.engines.process import ProcessEngine


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def store(home):
    return ImageStore(home)


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


@pytest.fixture
def engine(home):
    from small_images import cache

    engine = ProcessEngine(home, cache())
    yield engine
    engine.close()
