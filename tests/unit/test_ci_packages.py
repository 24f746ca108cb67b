"""What a build on a machine without a registry is told of pip's places."""

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "packages.py"


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "x.whl").write_text("a wheel")
    (tmp_path / "secret").write_text("not shown")
    (folder / "link").symlink_to(tmp_path / "secret")
    return folder


@pytest.fixture
def configured(monkeypatch, tmp_path):
    """Give pip this configuration and no other."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)

    def configured(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"PIP_{name}", value)
        return runpy.run_path(str(SCRIPT))

    return configured


def test_folders_of_this_machine_are_reached_by_their_urls(configured, wheels):
    script = configured(
        FIND_LINKS=str(wheels), EXTRA_INDEX_URL=f"file://{wheels} https://index.example/simple"
    )

    told = script["settings"]([f"http://127.0.0.1:5{each}" for each in script["local"]()])

    assert f"http://127.0.0.1:5{wheels}" == told["PIP_FIND_LINKS"]
    assert f"http://127.0.0.1:5{wheels} https://index.example/simple" == told["PIP_EXTRA_INDEX_URL"]
    assert "PIP_INDEX_URL" not in told


def test_a_password_of_an_index_stays_out_of_the_image(configured):
    script = configured(INDEX_URL="https://someone:secret@index.example/simple")

    assert "secret" not in json.dumps(script["settings"]([]))


@pytest.fixture
def server(tmp_path, wheels):
    state = tmp_path / "state.json"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(state), "0", str(wheels)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not state.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with httpx.Client(base_url=f"http://127.0.0.1:{json.loads(state.read_text())['port']}") as client:
        yield client
    process.terminate()
    process.wait(10)


def test_only_what_is_in_the_shown_folders_is_served(server, tmp_path, wheels):
    assert "a wheel" == server.get(f"{wheels}/x.whl").text
    assert "x.whl" in server.get(f"{wheels}/").text
    for hidden in (f"{tmp_path}/secret", f"{wheels}/link", f"{wheels}/../secret", "/etc/passwd", "/"):
        assert 404 == server.get(hidden).status_code
