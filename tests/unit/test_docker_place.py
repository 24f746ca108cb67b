"""Which engines can be used from here, and how their containers reach this cloud."""

import contextlib
import platform
import socket

import docker
import pytest
from docker.errors import APIError
from docker.utils import kwargs_from_env

from atelier.cloud.context import Container, Refused
from atelier.cloud.engines.docker import place
from atelier.cloud.engines.docker.place import Place

HERE = {"OSType": "linux", "Name": socket.gethostname(), "KernelVersion": platform.release()}


def container(tmp_path, **more):
    return Container(
        **{
            "name": "t",
            "image": "i",
            "environment": {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "COLOUR": "red"},
            "root": tmp_path,
            "log": print,
            **more,
        }
    )


def test_an_engine_of_this_machine_shares_its_loopback(tmp_path):
    here, serving = place.of(HERE, "unix:///d.sock"), container(tmp_path, port=5000)

    assert Place(is_here=True) == here
    assert {"network_mode": "host"} == here.network(serving)
    assert {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "COLOUR": "red",
        "BIND_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": "5000",
    } == here.variables(serving)


def test_an_engine_in_a_virtual_machine_gets_a_published_port_and_the_way_back(tmp_path):
    desktop = place.of({**HERE, "Name": "linuxkit", "OperatingSystem": "Docker Desktop"}, "unix:///d.sock")
    serving = container(tmp_path, port=5000)

    assert Place(is_here=False) == desktop
    assert {"network_mode": "bridge", "port_bindings": {8080: ("127.0.0.1", 5000)}} == desktop.network(
        serving
    )
    assert [8080] == desktop.ports(serving)
    assert {"AWS_ENDPOINT_URL": "http://host.docker.internal:4566", "COLOUR": "red"} == desktop.variables(
        serving
    )
    assert {"host.docker.internal": "host-gateway"} == desktop.hosts(serving)
    assert desktop.user() is None


def test_an_isolated_container_has_no_network_and_its_own_name(tmp_path):
    isolated = container(tmp_path, is_isolated=True, hostname="algo-1")

    for is_here in (True, False):
        assert {"network_mode": "none"} == Place(is_here).network(isolated)
        assert {"algo-1": "127.0.0.1"} == Place(is_here).hosts(isolated)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"OSType": "windows"}, "runs windows containers; Linux is needed"),
        ({"Name": "elsewhere"}, r"runs on another machine \(elsewhere\)"),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "is rootless"),
    ],
)
def test_an_engine_out_of_reach_is_refused(monkeypatch, said, why):
    monkeypatch.setattr(platform, "system", lambda: "Linux")

    with pytest.raises(Refused, match=f"the Docker engine at tcp://far {why}"):
        place.of({**HERE, **said}, "tcp://far")


class FakeApi:
    """An engine that calls the registry it is to pull from, or one that does not get there."""

    def __init__(self, *, is_near):
        self._is_near = is_near

    def pull(self, repository, tag):
        host, _, port = repository.partition("/")[0].partition(":")
        if self._is_near:
            socket.create_connection((host, int(port))).close()
        raise APIError("connection refused")


def test_an_engine_that_reaches_the_registry_is_taken():
    place.check_registry_in_reach(FakeApi(is_near=True), "unix:///d.sock")


def test_an_engine_that_cannot_reach_the_registry_is_refused():
    with pytest.raises(Refused, match=r"at unix:///d.sock .* registry of this cloud's images"):
        place.check_registry_in_reach(FakeApi(is_near=False), "unix:///d.sock")


@pytest.mark.docker
def test_a_real_engine_of_this_machine_reaches_the_registry():
    with contextlib.closing(docker.APIClient(**kwargs_from_env(), version="auto")) as api:
        place.check_registry_in_reach(api, "here")
