"""Which engine a home gets, keeps and is refused; as `atelier up` says it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import RunningCloud
from engine_world import BASE, docker_api

from atelier.cloud.engines.docker.engine import label
from atelier.cloud.gateway import environment, launch
from atelier.cloud.gateway.plugins import PLUGINS

NOWHERE = "unix:///nonexistent/docker.sock"


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    launch.stop(tmp_path / "home")


@pytest.fixture
def no_docker(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)


def command(home, *words, **variables):
    kept = {name: value for name, value in os.environ.items() if name != "ATELIER_ENGINE"}
    return subprocess.run(
        [sys.executable, "-m", "atelier", *words],
        env={**kept, "ATELIER_HOME": str(home), **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def make_repository(home):
    RunningCloud(home, launch.connection(home)).client("ecr").create_repository(repositoryName="app")


def test_without_docker_containers_are_processes_and_it_says_why(home, no_docker):
    up = command(home, "up", "--json")

    said = json.loads(up.stdout)
    assert ("process", True) == (said["engine"], said["started"])
    assert f"Docker does not answer at {NOWHERE}: No such file or directory" == said["engine_reason"]
    shown = json.loads(command(home, "status", "--json").stdout)
    assert (said["engine"], said["engine_reason"]) == (shown["engine"], shown["engine_reason"])
    assert f"Containers: process (Docker does not answer at {NOWHERE}" in command(home, "status").stdout


def test_docker_that_was_asked_for_must_answer(home, no_docker):
    up = command(home, "up", "--engine", "docker")

    assert 1 == up.returncode
    assert f"Docker does not answer at {NOWHERE}" in up.stderr
    assert "start Docker, name another engine by DOCKER_HOST, or use --engine process" in up.stderr
    assert "Traceback" not in up.stderr


def test_the_engine_may_come_from_the_environment(home, no_docker):
    assert "Docker does not answer" in command(home, "up", ATELIER_ENGINE="docker").stderr
    assert 2 == command(home, "up", ATELIER_ENGINE="podman").returncode


def test_an_engine_that_does_not_exist_is_refused(home):
    with pytest.raises(
        launch.CannotStart, match="there is no engine 'podman': auto, docker, process are known"
    ):
        launch.start(home, engine="podman")


def test_a_home_without_images_may_change_its_engine(home, no_docker):
    launch.start(home, engine="process")
    launch.stop(home)

    with pytest.raises(launch.CannotStart, match="Docker does not answer"):
        launch.start(home, engine="docker")


def test_a_home_with_repositories_keeps_its_engine(home, no_docker):
    launch.start(home, engine="process")
    make_repository(home)
    launch.stop(home)

    with pytest.raises(
        launch.CannotStart, match=r"has image repositories of the process engine.*ATELIER_HOME"
    ):
        launch.start(home, engine="docker")
    launch.start(home, engine="auto")
    assert ("process", "this home's images are made for it") == (
        launch.status(home).engine,
        launch.status(home).engine_reason,
    )


def test_a_running_cloud_is_not_changed(home):
    launch.start(home, engine="process")

    assert launch.start(home, engine="auto") == launch.start(home, engine="process")
    with pytest.raises(launch.CannotStart, match="runs already, with the process engine: stop it"):
        launch.start(home, engine="docker")


def test_dockers_current_context_is_followed(tmp_path, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert "unix:///var/run/docker.sock" == environment.docker_host()

    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(b"desktop-linux").hexdigest()
    folder.mkdir(parents=True)
    described = {"Name": "desktop-linux", "Endpoints": {"docker": {"Host": "unix:///desktop.sock"}}}
    (folder / "meta.json").write_text(json.dumps(described))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "desktop-linux"}))
    assert "unix:///desktop.sock" == environment.docker_host()


@pytest.mark.docker
def test_with_docker_a_home_is_dockers_and_stays_so(home):
    up = command(home, "up", "--json")
    said = json.loads(up.stdout)
    assert "docker" == said["engine"], said
    assert said["engine_reason"].startswith("Docker answers at ")
    make_repository(home)
    launch.stop(home)

    refused = command(home, "up", "--engine", "process")
    assert "has image repositories of the docker engine" in refused.stderr
    away = command(home, "up", DOCKER_HOST=NOWHERE)
    assert 1 == away.returncode
    assert "Docker does not answer" in away.stderr


@pytest.mark.docker
def test_docker_without_a_registry_is_not_chosen_unasked(home, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git"))
    up = command(home, "up", "--json", PATH=str(tmp_path / "bin"))

    said = json.loads(up.stdout)
    with docker_api() as api:
        has_image = bool(api.images("registry:2"))
    assert ("docker" if has_image else "process") == said["engine"]
    assert has_image or "the Docker engine needs a registry" in said["engine_reason"]


@pytest.mark.docker
def test_a_killed_cloud_leaves_nothing_after_down(home, tmp_path):
    launch.start(home, engine="docker")
    os.kill(launch.status(home).pid, signal.SIGKILL)
    with docker_api() as api:
        mine, theirs = (leave(api, label(each)) for each in (home, tmp_path / "another"))
        try:
            assert 0 == command(home, "down").returncode

            left = {each["Id"] for each in api.containers(all=True)}
            assert (False, True) == (mine in left, theirs in left)
        finally:
            api.remove_container(theirs, force=True)


def leave(api, mark):
    """Run a container as a cloud would have left it."""
    network = api.create_host_config(network_mode="host")
    made = api.create_container(BASE, ["sleep", "60"], labels={"atelier.home": mark}, host_config=network)
    api.start(made["Id"])
    return made["Id"]


def test_the_registry_is_up_before_builds_and_jobs_are_taken_up_again():
    assert "ecr" == PLUGINS[0].scope
