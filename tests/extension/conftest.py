"""What the tests of the extension's core share: a middleware in memory, and a server that obeys."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted_server import Scripted
from standin_middleware import Middleware

from atelier_webui.accounts import account
from atelier_webui.client import Client
from atelier_webui.history import History
from atelier_webui.jobs import Jobs


@pytest.fixture
def cloud():
    found = Middleware()
    yield found
    found.close()


@pytest.fixture
def client(cloud):
    found = Client(account("mine", cloud.url, "token-of-anna"))
    yield found
    found.close()


@pytest.fixture
def jobs(client, tmp_path):
    return Jobs(client, History(tmp_path / "history"))


@pytest.fixture
def server():
    found = Scripted()
    yield found
    found.close()
