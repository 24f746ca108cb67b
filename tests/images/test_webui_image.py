"""The WebUI's image in Docker: built of a stand-in's commit, and proven as the pipeline proves it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from standin_upstream import ROOT, Upstream, base_image

from atelier.cloud.engines import docker_client

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # the first base image takes its time


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


class Workshop:
    """A copy of this project that follows the stand-in, and the images that were built of it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.images = folder / "project", []
        self.upstream = Upstream(folder / "git")
        for name in ("images", "extension"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.upstream.declare(self.root)
        # As in a build of the local cloud: where the engine has no bridge, pip needs the host's network.
        has_bridge = bool(docker("network", "ls", "--quiet", "--filter", "name=^bridge$"))
        tools = docker_client.install(
            folder / "tools", os.environ, label="atelier.home=test", has_bridge=has_bridge
        )
        self.path = f"{tools}{os.pathsep}{os.environ['PATH']}"

    def build(self, commit: str) -> str:
        """Build the image of a commit as the buildspec does, but for the registry; return its name."""
        image = f"atelier-webui-test:{commit[:12]}"
        made = self.run("checkout.py", commit, "build")
        assert 0 == made.returncode, made.stderr
        program = f"""if True:
            from pathlib import Path
            import build
            build.build(Path("build"), {image!r}, {{"atelier.upstream.commit": {commit!r}}}, [])
        """
        self.images.append(image)
        own = {
            "BASE_IMAGE": base_image(),
            "PYTHONPATH": str(self.root / "images" / "webui"),
            "PATH": self.path,
        }
        subprocess.run([sys.executable, "-c", program], cwd=self.root, env={**os.environ, **own}, check=True)
        return image

    def run(self, script: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script of images/webui."""
        command = [sys.executable, f"images/webui/{script}", *words]
        environment = {**os.environ, **variables}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    workshop = Workshop(tmp_path_factory.mktemp("workshop"))
    yield workshop
    for image in workshop.images:
        subprocess.run(["docker", "rmi", "--force", image], capture_output=True)


@pytest.fixture(scope="module")
def image(workshop) -> str:
    return workshop.build(workshop.upstream.head)


def test_an_image_is_proven_and_its_figures_are_told(workshop, image):
    ended = workshop.run("prove.py", image)

    assert 0 == ended.returncode, ended.stderr
    figures = dict(line.split("=") for line in ended.stdout.splitlines())
    assert docker("image", "inspect", "--format", "{{.Size}}", image) == figures["SIZE_BYTES"]
    assert 0 < float(figures["STARTUP_SECONDS"])
    assert [] == containers_of(image)


def test_a_new_commit_installs_nothing_again_and_without_our_tab_it_is_not_proven(workshop, image):
    tabless = workshop.build(workshop.upstream.lose_the_tab())

    ended = workshop.run("prove.py", tabless)

    assert 4 == len(layers(image)) - shared(layers(image), layers(tabless))  # ours, its, and what they are
    assert (1, "") == (ended.returncode, ended.stdout)
    assert "error: the WebUI starts without our tab tab_atelier: its tabs are" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert [] == containers_of(tabless)


def test_an_image_that_is_not_there_is_refused(workshop):
    ended = workshop.run("prove.py", "atelier-webui-test:absent")

    assert 1 == ended.returncode
    assert "error: docker image ended with 1: " in ended.stderr


def test_it_runs_as_its_own_user_who_cannot_change_the_program(image):
    asked = "import os; print(os.getuid(), os.access('/opt/webui', os.W_OK), os.access('/data', os.W_OK))"

    assert "1000 False True" == docker("run", "--rm", "--entrypoint", "python", image, "-c", asked)


def test_it_says_what_it_is_made_of_and_how_it_starts(workshop, image):
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image))

    assert ["python", "-m", "webui_image"] == config["Entrypoint"]
    assert "true" == config["Labels"]["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"]
    assert workshop.upstream.url in docker(
        "run", "--rm", "--entrypoint", "cat", image, "/opt/program/checkout.json"
    )


def test_whom_it_would_let_in_without_a_password_it_does_not_start_for(image):
    ended = subprocess.run(["docker", "run", "--rm", image], capture_output=True, text=True)

    assert 1 == ended.returncode
    assert "WEBUI_AUTH_FILE" in ended.stderr


def layers(image: str) -> list[str]:
    return json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))


def shared(before: list[str], after: list[str]) -> int:
    """Count the layers that two images have in common from the first on."""
    return next((n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b), len(before))


def containers_of(image: str) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split()
