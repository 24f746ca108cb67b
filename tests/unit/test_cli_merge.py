"""`atelier merge`: what it prints, its exit codes, and what it leaves when it is ended."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors_files as files
from click.testing import CliRunner
from safetensors_files import FIRST, UNET, small, write

from atelier.cli.main import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.safetensors", small("F32", **{f"{UNET}own": ("F32", np.zeros(2))}))
    write(tmp_path / "b.safetensors", small("F16", seed=3, **{f"{UNET}else": ("F16", np.zeros(2))}))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, ["merge", *arguments])


def test_a_merge_tells_what_it_made_as_one_json_object(folder):
    done = run(
        "a.safetensors", "b.safetensors", "--precision", "fp16", "--output", "out.safetensors", "--json"
    )

    assert 0 == done.exit_code, done.output
    told, content = json.loads(done.stdout), (folder / "out.safetensors").read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (told["sha256"], told["size"])
    assert (told["sha256"][:10], 2) == (told["hash"], told["merged"])
    assert ([f"{UNET}own"], [f"{UNET}else"], []) == (told["kept"], told["dropped"], told["partial"])
    assert ("Weighted sum", 0.3) == (told["recipe"]["interp_method"], told["recipe"]["multiplier"])


def test_a_merge_tells_a_person_what_was_not_merged(folder):
    said = run("a.safetensors", "b.safetensors", "--output", "out.safetensors").stdout

    assert "2 keys merged" in said
    assert f"1 kept as A's: {UNET}own" in said
    assert f"1 left out, for A lacks them: {UNET}else" in said


def test_the_multiplier_decides_how_much_of_b_there_is(folder):
    run("a.safetensors", "b.safetensors", "--multiplier", "1", "--output", "out.safetensors")

    wanted = files.read(folder / "b.safetensors")[FIRST].astype(np.float32)
    np.testing.assert_array_equal(wanted, files.read(folder / "out.safetensors")[FIRST])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a.safetensors", "--output", "x"], 2, "weighted_sum takes 2 of them, not 1"),
        (["a.safetensors", "b.safetensors"], 2, "Missing option '--output'"),
        (["a.safetensors", "b.safetensors", "--output", "x", "--multiplier", "2"], 2, "range 0<=x<=1"),
        (["a.safetensors", "b.safetensors", "--output", "x", "--method", "sum"], 2, "is not one of"),
        (
            ["a.safetensors", "no.safetensors", "--output", "x"],
            1,
            "no.safetensors cannot be read: No such file",
        ),
        (["a.safetensors", "b.safetensors", "--output", "a.safetensors"], 1, "is to be merged itself"),
        (["a.safetensors", "b.safetensors", "--output", "no/x"], 1, "there is no folder"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(folder, arguments, code, said):
    done = run(*arguments)

    assert (code, "") == (done.exit_code, done.stdout)
    assert said in done.stderr
    assert ["a.safetensors", "b.safetensors"] == sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_merge_that_is_ended_leaves_the_target_as_it_was(tmp_path, number):
    large = {f"{UNET}{at}": ("F32", np.zeros((32, 1024, 256))) for at in range(4)}
    for name in "ab":
        write(tmp_path / name, large)
    (tmp_path / "out").write_text("old")
    command = [sys.executable, "-m", "atelier", "merge", "a", "b", "--output", "out"]
    before = signal.signal(number, signal.SIG_DFL)  # a run in the background ignores SIGINT, and so would it
    try:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(number, before)
    try:
        while process.poll() is None and not list(tmp_path.glob(".out.*.part")):
            time.sleep(0.001)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()

    assert 130 == process.returncode
    assert said.startswith("Error: ")
    assert said.endswith("; nothing was written\n")
    assert ["a", "b", "out"] == sorted(each.name for each in tmp_path.iterdir())
    assert "old" == (tmp_path / "out").read_text()


def test_an_installed_atelier_merges_too():
    # in a process of its own: setuptools changes how the one that imports it finds pip
    listing = "import setuptools, sys; print(*setuptools.find_packages(sys.argv[1]))"
    command = [sys.executable, "-c", listing, str(ROOT / "src")]

    packages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert "atelier.merging" in packages
