"""`atelier demo artist` from the outside, with the image that paints, trains and merges."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from atelier.cli.main import cli
from atelier.client import pictures
from atelier.cloud.gateway import launch

PICTURE = ["inference_id", "picture", "width", "height", "infotext"]
MEMBERS = [
    *("api_url", "username", "checkpoint_id", "endpoint_name", "endpoint_instances"),
    *PICTURE,
    *("dataset_name", "lora_checkpoint_id", "merged_checkpoint_id", "second", "seconds"),
]

pytestmark = pytest.mark.timeout(1200)


def run():
    result = CliRunner().invoke(cli, ["demo", "artist", "--yes", "--json"])
    assert 0 == result.exit_code, result.output
    return result, json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def demo():
    """The demo, gone through once; the home it leaves is the one of the tests."""
    folder = Path(tempfile.mkdtemp(prefix="atelier-artist-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(folder))
        try:
            yield run()
        finally:
            launch.stop(folder)
            shutil.rmtree(folder, ignore_errors=True)


def test_the_artist_gets_from_a_token_to_a_picture(demo):
    first, told = demo

    assert MEMBERS == list(told)
    assert ("sd-async-artist", "0") == (told["endpoint_name"], told["endpoint_instances"])
    painted = pictures.read(Path(told["picture"]).read_bytes())
    assert (64, 64) == (painted.width, painted.height)
    for words in ("a lighthouse at dawn", "Sampler: DPM++ 2M", "Seed: 7", "Size: 64x64", "Model: tiny"):
        assert words in told["infotext"]
    assert told["infotext"].splitlines()[0] in first.stderr


def test_a_lora_and_a_merge_of_the_artist_change_the_picture(demo):
    told = demo[1]

    assert PICTURE == list(told["second"])
    one, two = (pictures.read(Path(each["picture"]).read_bytes()) for each in (told, told["second"]))
    assert one.rows != two.rows
    for words in ("<lora:sunset:1>", "Lora hashes", "Model: tiny-merged"):
        assert words in told["second"]["infotext"]


def test_a_demo_that_runs_again_goes_on_with_what_is_there(demo):
    again, told = run()

    assert "LoRA sunset is there already" in again.stderr
    assert "tiny-merged.safetensors is there already" in again.stderr
    assert demo[1]["lora_checkpoint_id"] == told["lora_checkpoint_id"]
    assert demo[1]["merged_checkpoint_id"] == told["merged_checkpoint_id"]
