"""The `docker` that a build finds first on its PATH where Docker runs containers."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from atelier.cloud.engines import docker_client

LABEL = "atelier.home=this cloud"
CLIENT = """\
#!/bin/sh
echo "$DOCKER_HOST|$DOCKER_CONFIG|$DOCKER_TLS_VERIFY|$*"
"""


@pytest.fixture
def machine(tmp_path):
    """Variables of a machine with a docker client that says what it was told."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "docker").write_text(CLIENT)
    (folder / "docker").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(tmp_path / "user")}


@pytest.fixture
def run(tmp_path):
    """Run the installed command as a build does; return what it says."""
    home = tmp_path / "build"
    home.mkdir(exist_ok=True)

    def run(tools, *arguments, fails=False):
        environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(home)}
        done = subprocess.run(["docker", *arguments], env=environment, capture_output=True, text=True)
        assert fails == bool(done.returncode), done.stderr
        return done.stderr if fails else done.stdout.strip()

    return run


def test_the_client_is_told_the_engine_of_the_cloud_and_keeps_its_logins_in_the_build(tmp_path, machine, run):
    engine = {"DOCKER_HOST": "tcp://engine:2376", "DOCKER_TLS_VERIFY": "1"}

    tools = docker_client.install(tmp_path / "tools", {**machine, **engine}, label=LABEL, has_bridge=True)

    assert f"tcp://engine:2376|{tmp_path}/build/.docker|1|build ." == run(tools, "build", ".")
    assert {} == json.loads((tmp_path / "build/.docker/config.json").read_text())


def test_without_a_name_the_engine_is_where_docker_usually_listens(tmp_path, machine, run):
    tools = docker_client.install(tmp_path / "tools", machine, label=LABEL, has_bridge=True)

    assert "unix:///var/run/docker.sock" == run(tools, "info").partition("|")[0]


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["build", "--tag", "a b", "."], "build --network host --tag a b ."),
        (["image", "build", "."], "image build --network host ."),
        (["buildx", "build", "."], "buildx build --network host ."),
        (["push", "build"], "push build"),
        (["build"], "build --network host"),
        ([], ""),
    ],
)
def test_only_builds_get_the_network_of_the_host_and_only_without_a_bridge(
    tmp_path, machine, run, arguments, seen
):
    without = docker_client.install(tmp_path / "without", machine, label=LABEL, has_bridge=False)
    having = docker_client.install(tmp_path / "having", machine, label=LABEL, has_bridge=True)

    assert seen == run(without, *arguments).rpartition("|")[2]
    assert " ".join(arguments) == run(having, *arguments).rpartition("|")[2]


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["run", "--rm", "image", "ls"], "run --label atelier.home=this cloud --rm image ls"),
        (["create", "image"], "create --label atelier.home=this cloud image"),
        (["container", "run", "image"], "container run --label atelier.home=this cloud image"),
        (["container", "create", "image"], "container create --label atelier.home=this cloud image"),
        (["container", "ls"], "container ls"),
        (["buildx", "create"], "buildx create"),
        (["network", "create", "name"], "network create name"),
    ],
)
def test_the_containers_of_a_build_are_known_as_this_cloud_s(tmp_path, machine, run, arguments, seen):
    tools = docker_client.install(tmp_path / "tools", machine, label=LABEL, has_bridge=False)

    assert seen == run(tools, *arguments).rpartition("|")[2]


def test_the_plugins_of_the_user_are_found_but_no_login_of_theirs(tmp_path, machine, run):
    plugins = tmp_path / "user" / ".docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins.parent / "config.json").write_text(json.dumps({"auths": {"registry": {"auth": "c2VjcmV0"}}}))

    run(docker_client.install(tmp_path / "tools", machine, label=LABEL, has_bridge=True), "info")

    kept = (tmp_path / "build/.docker/config.json").read_text()
    assert {"cliPluginsExtraDirs": [str(plugins)]} == json.loads(kept)


def test_installed_twice_it_does_not_call_itself(tmp_path, machine, run):
    first = docker_client.install(tmp_path / "tools", machine, label=LABEL, has_bridge=True)
    again = {**machine, "PATH": f"{first}:{machine['PATH']}"}

    assert (
        "info"
        == run(docker_client.install(first, again, label=LABEL, has_bridge=True), "info").rpartition("|")[2]
    )


def test_a_machine_without_a_client_says_what_to_install(tmp_path, run):
    tools = docker_client.install(tmp_path / "tools", {"PATH": str(tmp_path)}, label=LABEL, has_bridge=True)

    assert "no docker client on this machine: install one" in run(tools, "info", fails=True)


@pytest.mark.docker
def test_a_real_build_reaches_the_network_of_the_machine(tmp_path, run):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM python:3.11-slim-bookworm\nRUN grep -q . /proc/net/route && ls /sys/class/net >/seen\n"
    )
    tools = docker_client.install(tmp_path / "tools", os.environ, label=LABEL, has_bridge=False)

    image = run(tools, "build", "--quiet", str(context)).split()[-1]

    try:
        said = run(tools, "run", "--rm", "--network", "none", image, "cat", "/seen").split()
        assert {each.name for each in Path("/sys/class/net").iterdir()} == set(said)
    finally:
        run(tools, "rmi", "--force", image)
