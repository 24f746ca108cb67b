"""What the Docker engine says of machines that it cannot boot."""

import pytest
import requests
from docker.errors import ImageNotFound

from atelier.cloud.context import Machine, Refused
from atelier.cloud.engines.docker.machines import DockerMachines


class Api:
    """An engine whose builds end as they are told, or that is away."""

    def __init__(self, *steps):
        self.steps = steps

    def inspect_image(self, name):
        raise ImageNotFound(name)

    def networks(self, names):
        return []

    def build(self, **options):
        assert "host" == options["network_mode"]
        if not self.steps:
            raise requests.exceptions.ConnectionError("gone")
        return iter(self.steps)

    def volumes(self, filters):
        raise requests.exceptions.ConnectionError("gone")


def machines(api=None, host="unix:///var/run/docker.sock", *, is_here=True):
    return DockerMachines(api, "home", host, is_here=is_here)


def machine():
    return Machine(name="i-1", image="m", hostname="ip", environment={}, disks={}, log=lambda line: None)


@pytest.mark.parametrize(
    ("host", "is_here"), [("tcp://10.0.0.1:2375", True), ("unix:///home/me/desktop.sock", False)]
)
def test_an_engine_out_of_this_machines_reach_boots_none_and_says_which(host, is_here):
    with pytest.raises(Refused, match=host):
        machines(host=host, is_here=is_here).boot(machine())


def test_without_a_docker_client_no_machine_boots(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Refused, match="docker-ce-cli"):
        machines().boot(machine())


def test_a_build_that_fails_says_why():
    with pytest.raises(Refused, match="no such package"):
        machines(Api({"stream": "Step 1"}, {"error": "no such package\n"})).build("m", {"Dockerfile": b""})


def test_an_engine_that_is_away_is_said():
    with pytest.raises(Refused, match="does not answer"):
        machines(Api()).build("m", {"Dockerfile": b""})
    with pytest.raises(Refused, match="vol-1"):
        machines(Api()).remove_disk("vol-1")
