"""The notebooks as they are stored: without outputs or places of one machine, and as clean as all code."""

import ast
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from atelier import notebooks
from atelier.cli.main import cli
from atelier.client.errors import Problem
from atelier.client.middleware import Api

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KNOWN = {"atelier", "boto3", "matplotlib", "pandas", "sagemaker"}
PLACES = re.compile(
    r"(?<![\w.:/}])/(?:home|root|tmp|Users|work|opt|mnt|var)/|[A-Z]:\\\\|localhost|127\.0\.0\.1"
)

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path, kind=None):
    document = json.loads(path.read_text(encoding="utf-8"))
    return [each for each in document["cells"] if kind in (None, each["cell_type"])]


def source(cell):
    return "".join(cell["source"])


def clear():
    """What `make format` does with notebooks."""
    return runpy.run_path(str(ROOT / "notebooks" / "clear.py"))


def test_there_are_four():
    assert ["1", "2", "3", "4"] == [path.name[0] for path in PATHS]


@every_notebook
def test_a_notebook_holds_no_outputs(path):
    assert [([], None)] * len(cells(path, "code")) == [
        (each["outputs"], each["execution_count"]) for each in cells(path, "code")
    ]


@every_notebook
def test_a_notebook_holds_nothing_that_make_format_would_take_out(path):
    text = path.read_text(encoding="utf-8")

    assert text == clear()["cleared"](text)


def test_what_an_editor_leaves_is_taken_out_and_the_rest_stays(tmp_path):
    path = tmp_path / PATHS[0].name
    document = json.loads(PATHS[0].read_text(encoding="utf-8"))
    document["metadata"]["vscode"] = {"interpreter": "mine"}
    for each in document["cells"]:
        each["metadata"]["scrolled"] = True
        if each["cell_type"] == "code":
            each.update(
                outputs=[{"output_type": "stream", "name": "stdout", "text": ["1"]}], execution_count=1
            )
    path.write_text(json.dumps(document), encoding="utf-8")

    clear()["main"]([str(path)])

    assert PATHS[0].read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@every_notebook
def test_a_notebook_names_no_place_of_one_machine(path):
    assert [] == PLACES.findall(path.read_text(encoding="utf-8"))


@every_notebook
def test_a_notebook_says_what_it_is_about_before_it_does_anything(path):
    first, second = cells(path)[:2]

    assert "markdown" == first["cell_type"]
    assert source(first).startswith("# ")
    assert "It needs the stack" in source(first) or "It needs at least" in source(first)
    assert ["parameters"] == second["metadata"]["tags"]


@every_notebook
def test_a_notebook_imports_what_its_environment_has(path):
    trees = [ast.parse(source(each)) for each in cells(path, "code")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = {each.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for each in node.names}
    used |= {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}

    assert set() == used - KNOWN - sys.stdlib_module_names


@pytest.mark.parametrize("verb", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_ruff_reads_notebooks_as_all_code(verb):
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", *verb, "--no-cache", *PATHS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == ran.returncode, ran.stdout


def test_notebooks_are_chosen_by_what_their_names_begin_with():
    assert PATHS == notebooks.chosen()
    assert [PATHS[0], PATHS[2]] == notebooks.chosen(["3", "1-explore"])
    with pytest.raises(Problem, match="no notebook is called 5…; there are 1-explore-the-corpus, 2-"):
        notebooks.chosen(["5"])


def test_only_who_calls_the_middleware_is_told_a_token():
    api = Api(url="https://a.example/", token="secret", username="artist")

    assert [False, False, False, True] == [notebooks.need_middleware([path]) for path in PATHS]
    assert {"ATELIER_PREFIX": "team"} == notebooks.told("team")
    assert "secret" == notebooks.told("team", api)["ATELIER_API_TOKEN"]


def test_without_their_environment_notebooks_say_how_it_is_made(tmp_path):
    with pytest.raises(Problem, match=r"make \.venv/notebooks"):
        notebooks.execute(PATHS, environment={}, parameters={}, out=tmp_path, python=tmp_path / "python")


def test_a_notebook_that_fails_is_the_commands_failure(tmp_path):
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\nexit 1\n")
    failing.chmod(0o755)

    with pytest.raises(Problem, match="were not executed to their end"):
        notebooks.execute(PATHS, environment={}, parameters={}, out=tmp_path, python=failing)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["9"], 1, "no notebook is called 9"),
        (["1", "--set", "STEPS"], 2, "is not NAME=VALUE"),
        (["--aws", "--prepare"], 2, "--prepare runs the demos"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(words, code, said):
    result = CliRunner().invoke(cli, ["notebooks", *words])

    assert code == result.exit_code
    assert said in result.stderr
