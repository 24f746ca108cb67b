"""The notebook that paints, executed with a token and no AWS credentials."""

import pytest
from notebook_run import execute
from studio import safetensors

from atelier import artist
from atelier.cli.artist import Easel
from atelier.cli.output import console
from atelier.client import checkpoints, middleware
from atelier.client.errors import Problem
from atelier.demo import Clock
from atelier.notebooks import told

pytestmark = pytest.mark.timeout(600)
SMALL = {"PROMPT": "a canvas", "SIDE": 8, "SCALES": [1, 7], "SEEDS": [7]}


@pytest.fixture(scope="module")
def api(studio):
    owner = middleware.Api(url=studio.url, token=studio.token)
    with artist.known(owner, Easel(console(), yes=True), Clock()) as api:
        yield api


def test_pictures_are_painted_side_by_side(studio, api, tmp_path):
    path = tmp_path / "painted.safetensors"
    path.write_bytes(safetensors())
    checkpoints.upload(api, path)

    shown = execute(["4"], tmp_path, told("atelier", api), CHECKPOINT=path.name, **SMALL)["4"]

    assert "Painting on " in shown.text
    assert "2 pictures in " in shown.text
    assert 1 == shown.plots
    assert api.token not in "".join(each.read_text() for each in tmp_path.glob("*.ipynb"))


def test_a_checkpoint_that_is_not_there_ends_the_notebook(studio, api, tmp_path, capfd):
    with pytest.raises(Problem, match="not executed to their end"):
        execute(["4"], tmp_path, told("atelier", api), CHECKPOINT="absent.safetensors")

    assert "There is no such checkpoint" in capfd.readouterr().err
