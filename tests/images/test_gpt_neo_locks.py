from __future__ import annotations

import hashlib
import os
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from containers import TRAINING

IMAGE = TRAINING / "gpt_neo"
IMAGES = pytest.mark.parametrize("image", [IMAGE, TRAINING / "diffusion"], ids=lambda image: image.name)
CPU, CUDA = "requirements-cpu.lock", "requirements-cuda.lock"
WHEEL = "torch-2.13.0+cpu-py3-none-any.whl"


def pins(lock: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+==\S+)", lock.read_text(), re.MULTILINE))


def choose(folder: Path, links: Path) -> subprocess.CompletedProcess[str]:
    """Run the script where pip sees nothing but *links*."""
    environment = {
        "PATH": os.defpath,
        "HOME": str(links),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(links),
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = [sys.executable, str(TRAINING / "choose_lock.py"), str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def links(tmp_path) -> Path:
    """A folder with a torch for CPUs that holds nothing."""
    folder = tmp_path / "links"
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        about = "torch-2.13.0+cpu.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return folder


@IMAGES
def test_the_lock_for_cpus_is_derived_from_the_other(image):
    derive = runpy.run_path(str(TRAINING / "lock.py"))["derive"]

    derived = derive((image / CUDA).read_text(), (TRAINING / "torch-cpu.sha256").read_text())

    assert (image / CPU).read_text() == derived


@IMAGES
def test_locks_are_derived_in_every_folder_that_is_named(image, tmp_path):
    (tmp_path / CUDA).write_bytes((image / CUDA).read_bytes())

    subprocess.run([sys.executable, str(TRAINING / "lock.py"), str(tmp_path)], check=True)

    assert (image / CPU).read_text() == (tmp_path / CPU).read_text()


def test_hashes_of_another_release_are_refused():
    derive = runpy.run_path(str(TRAINING / "lock.py"))["derive"]

    with pytest.raises(
        SystemExit, match=r"torch-2\.12\.0\+cpu-x\.whl, which is no \+cpu wheel of torch==2\.13\.0"
    ):
        derive("torch==2.13.0 \\\n    --hash=sha256:0", "aa  torch-2.12.0+cpu-x.whl\n")


@IMAGES
def test_the_locks_differ_by_cuda_alone(image):
    cpu, cuda = pins(image / CPU), pins(image / CUDA)
    extra = {each.partition("==")[0] for each in cuda - cpu}

    assert {"torch==2.13.0+cpu"} == cpu - cuda
    assert set() == {each for each in extra if not each.startswith(("nvidia-", "cuda-", "triton"))}


@IMAGES
@pytest.mark.parametrize("name", [CPU, CUDA])
def test_every_package_of_a_lock_is_pinned_and_hashed(image, name):
    blocks = re.split(r"\n(?=\S)", (image / name).read_text().strip())

    assert [] == [each for each in blocks if "==" not in each or "--hash=sha256:" not in each]


def test_without_a_torch_for_cpus_the_big_lock_is_chosen_with_a_warning(tmp_path):
    chosen = choose(IMAGE, tmp_path)

    assert (0, f"{CUDA}\n") == (chosen.returncode, chosen.stdout)
    assert "about 2.6 GB" in chosen.stderr
    assert "PIP_EXTRA_INDEX_URL" in chosen.stderr


def test_a_torch_for_cpus_that_the_lock_knows_is_chosen_quietly(links):
    digest = hashlib.sha256((links / WHEEL).read_bytes()).hexdigest()
    (links / CPU).write_text(f"torch==2.13.0+cpu \\\n    --hash=sha256:{digest}\n")

    chosen = choose(links, links)

    assert (0, f"{CPU}\n", "") == (chosen.returncode, chosen.stdout, chosen.stderr)


def test_a_torch_for_cpus_that_the_lock_does_not_know_is_not_taken(links):
    chosen = choose(IMAGE, links)

    assert f"{CUDA}\n" == chosen.stdout
    assert f"is not a file that {CPU} knows" in chosen.stderr


def test_a_lock_without_a_torch_for_cpus_is_a_mistake(tmp_path):
    (tmp_path / CPU).write_text("numpy==2.4.6\n")

    chosen = choose(tmp_path, tmp_path)

    assert 1 == chosen.returncode
    assert "pins no CPU build of torch" in chosen.stderr
