"""`atelier demo artist` from the outside, with the image that paints."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from atelier.cli.main import cli
from atelier.client import pictures
from atelier.cloud.gateway import launch

MEMBERS = [
    *("api_url", "username", "checkpoint_id", "endpoint_name", "endpoint_instances", "inference_id"),
    *("picture", "width", "height", "infotext", "seconds"),
]


@pytest.fixture
def home(monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="atelier-artist-"))
    monkeypatch.setenv("ATELIER_HOME", str(folder))
    yield folder
    launch.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def run():
    result = CliRunner().invoke(cli, ["demo", "artist", "--yes", "--json"])
    assert 0 == result.exit_code, result.output
    return result, json.loads(result.stdout.splitlines()[-1])


@pytest.mark.timeout(1200)
def test_the_artist_gets_from_a_token_to_a_picture(home):
    first, told = run()

    assert MEMBERS == list(told)
    assert ("sd-async-artist", "0") == (told["endpoint_name"], told["endpoint_instances"])
    painted = Path(told["picture"]).read_bytes()
    assert (64, 64) == (pictures.read(painted).width, pictures.read(painted).height)
    for words in ("a lighthouse at dawn", "Sampler: DPM++ 2M", "Seed: 7", "Size: 64x64", "Model: tiny"):
        assert words in told["infotext"]
    assert told["infotext"].splitlines()[0] in first.stderr
