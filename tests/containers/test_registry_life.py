"""The registry's process: started and stopped with the cloud, kept alive, and never left behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import httpx
import pytest
from fakes import FakeEngine
from registry_world import CONFIG, RegistryWorld, digest, manifest, until

from atelier.cloud.context import Refused
from atelier.cloud.engines.distribution import Distribution
from atelier.cloud.engines.docker.engine import DockerEngine
from atelier.cloud.engines.programs import ContainerProgram, OwnProgram, find
from atelier.cloud.engines.sockets import SocketConnection
from atelier.cloud.gateway import launch, processes

pytestmark = pytest.mark.docker

BASE = "public.ecr.aws/docker/library/python:3.11-slim-bookworm"


@pytest.fixture
def home(tmp_path):
    """A home whose path is too long for a socket's address."""
    home = tmp_path / ("long" * 30)
    home.mkdir()
    return home


def test_what_was_pushed_is_there_after_a_restart_under_the_same_name(home):
    first = RegistryWorld(home)
    uri = first.repository("small")
    pushed = first.push("small", "v1", "one")
    password = first.password()
    first.close()

    second = RegistryWorld(home)
    try:
        assert uri == f"{second.host}/small"
        assert 200 == second.http.get(f"/v2/small/manifests/{pushed}").status_code
        assert b"one" == second.http.get(f"/v2/small/blobs/{digest(b'one')}").content
        with second.client(password) as client:
            assert 200 == client.get("/v2/").status_code
    finally:
        second.close()


def used(home):
    """The bytes of all blobs that the registry keeps."""
    return sum(each.stat().st_size for each in home.glob("registry/data/**/blobs/**/data"))


def test_a_restart_gives_back_the_room_of_what_was_deleted_and_of_nothing_else(home):
    first = RegistryWorld(home)
    first.repository("small")
    kept = first.push("small", "kept", "k" * 5000)
    gone = first.push("small", "gone", "g" * 1_000_000)
    first.call("BatchDeleteImage", repositoryName="small", imageIds=[{"imageDigest": gone}])
    assert used(home) > 1_000_000
    first.close()

    second = RegistryWorld(home)
    try:
        assert 5000 < used(home) < 10_000
        assert 200 == second.http.get(f"/v2/small/manifests/{kept}").status_code
        assert gone == second.push("small", "gone", "g" * 1_000_000)
        assert b"g" * 1_000_000 == second.http.get(f"/v2/small/blobs/{digest(b'g' * 1_000_000)}").content
    finally:
        second.close()


def test_a_start_does_not_wait_for_room_for_ever_and_the_next_one_gives_back_the_rest(
    home, monkeypatch, tmp_path
):
    first = RegistryWorld(home)
    first.repository("small")
    gone = first.push("small", "gone", "g" * 1_000_000)
    first.call("BatchDeleteImage", repositoryName="small", imageIds=[{"imageDigest": gone}])
    first.close()
    slow, said = tmp_path / "slow", tmp_path / "pid"
    registry = shutil.which("docker-registry")
    slow.write_text(
        f"#!/bin/sh\n[ $1 = serve ] && exec {registry} $@\necho $$ >{said}; exec /bin/sleep 600\n"
    )
    slow.chmod(0o700)
    monkeypatch.setattr("atelier.cloud.engines.distribution.COLLECT_WITHIN", 0.5)

    distribution = Distribution(home / "registry", OwnProgram(str(slow), home / "registry"))
    distribution.start({"small": set()})
    try:
        assert not Path("/proc", said.read_text().strip()).exists()
        assert used(home) > 1_000_000
    finally:
        distribution.stop()

    monkeypatch.undo()
    third = RegistryWorld(home)
    try:
        assert used(home) < 5000
    finally:
        third.close()


def test_a_manifest_that_a_kill_kept_from_being_recorded_is_gone_after_a_restart(home):
    first = RegistryWorld(home)
    first.repository("small")
    pushed = first.push("small", "v1", "one")
    first.cloud.store.table("ecr.images").delete(f"small@{pushed}")  # as if killed before it was written
    assert {pushed} == first.stored_manifests()
    first.close()

    second = RegistryWorld(home)
    try:
        assert set() == second.stored_manifests()
        assert 404 == second.http.get(f"/v2/small/manifests/{pushed}").status_code
        assert 201 == second.upload("small", CONFIG).status_code
        assert 201 == second.upload("small", b"one").status_code
        assert 201 == second.put("small", "v1", manifest(CONFIG, b"one")).status_code
    finally:
        second.close()


def test_an_upload_that_a_stop_cut_off_takes_no_room_after_a_restart(home):
    first = RegistryWorld(home)
    first.repository("small")
    opened = first.http.post("/v2/small/blobs/uploads/").headers["location"]
    first.http.patch(opened, content=b"u" * 100_000)
    assert list(home.glob("registry/data/**/_uploads/*/data"))
    first.close()

    RegistryWorld(home).close()

    assert [] == list(home.glob("registry/data/**/_uploads/*/data"))


def test_a_port_that_another_program_took_is_named(home):
    first = RegistryWorld(home)
    port = int(first.host.rpartition(":")[2])
    first.close()

    with socket.create_server(("127.0.0.1", port)), pytest.raises(Refused, match=f"port {port} of the image"):
        RegistryWorld(home)


def test_a_registry_that_does_not_start_says_where_to_look(home):
    folder = home / "registry"
    distribution = Distribution(folder, OwnProgram("/bin/false", folder))

    with pytest.raises(Refused, match="the image registry does not start"):
        distribution.start({}, patience=1)

    assert distribution.pid is None or processes.started(distribution.pid) is None


def test_a_registry_that_is_killed_again_and_again_is_started_again_and_again(home):
    world = RegistryWorld(home)
    try:
        world.repository("small")
        for number in range(3):
            pid = world.distribution.pid
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: world.distribution.pid != pid)
            assert world.push("small", f"v{number}", "one") in world.images("small")
    finally:
        world.close()


def test_a_stop_in_the_middle_of_a_push_does_not_wait_for_its_end(home):
    world, go_on = RegistryWorld(home), threading.Event()
    world.repository("small")
    opened = world.http.post("/v2/small/blobs/uploads/").headers["location"]

    def endless():
        yield b"x" * 1_000_000
        go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(world.http.patch, opened, content=endless())
        until(lambda: list(home.glob("registry/data/**/_uploads/*/data")))
        world.close()
        go_on.set()

    assert isinstance(pushing.exception(), httpx.TransportError) or 503 == pushing.result().status_code
    assert world.distribution.pid is None or processes.started(world.distribution.pid) is None


def registry_of(home):
    """The registry's pid and when it started, as the cloud wrote it down."""
    record = json.loads((home / "registry" / "process.json").read_text())
    return record["pid"], record["started"]


def test_the_registry_ends_with_a_cloud_that_is_killed_and_comes_back_with_the_next(tmp_path):
    home = tmp_path / "home"
    try:
        launch.start(home, engine="docker")
        pid, started = registry_of(home)
        server = launch.status(home).pid
        os.kill(server, signal.SIGKILL)

        until(lambda: processes.started(pid) != started)
        launch.start(home, engine="docker")
        assert pid != registry_of(home)[0]
    finally:
        launch.stop(home)
    assert not (home / "registry" / "process.json").exists()


def test_a_full_disk_is_named_and_nothing_is_half_registered(tmp_path):
    alone = ["--mount"] if os.geteuid() == 0 else ["--mount", "--user", "--map-root-user"]
    script = Path(__file__).with_name("full_disk.py")
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [shutil.which("unshare"), *alone, sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert 0 == done.returncode, done.stderr
    seen = json.loads(done.stdout)
    (error,) = seen["refused"][1]["errors"]
    assert (403, "DENIED") == (seen["refused"][0], error["code"])
    assert error["message"].startswith("no space left on device where the local cloud keeps images")
    assert (True, ["after"], 200) == (seen["listed"], seen["after"], seen["pulled"])


def test_without_a_registry_the_refusal_says_how_to_get_one(tmp_path):
    with pytest.raises(Refused, match=r"install docker-registry .* or `docker pull registry:2`"):
        find(FakeEngine(name="docker"), tmp_path, path="/nowhere")


@pytest.fixture
def engine(tmp_path):
    """Docker, for containers of a home of the test's own."""
    engine = DockerEngine(tmp_path / "engine", {"DOCKER_HOST": os.environ.get("DOCKER_HOST", "")})
    yield engine
    engine.close()


@pytest.fixture
def image(tmp_path, unique):
    """This machine's registry as an image, with the entry point of the one that is public."""
    folder = tmp_path / "image"
    folder.mkdir()
    shutil.copy(shutil.which("docker-registry"), folder / "registry")
    (folder / "Dockerfile").write_text(f'FROM {BASE}\nCOPY registry /bin/\nENTRYPOINT ["registry"]\n')
    client = docker.from_env()
    client.images.build(path=str(folder), tag=unique, rm=True)
    yield unique
    client.images.remove(unique, force=True)
    client.close()


def asked(distribution, method, path, body=None):
    """Ask a registry; return the status and the headers of its answer."""
    connection = SocketConnection(distribution.socket, 10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.headers
    finally:
        connection.close()


def test_a_registry_in_a_container_is_as_good_as_a_process(engine, image, tmp_path):
    folder = tmp_path / "registry"
    distribution = Distribution(folder, ContainerProgram(engine, folder, image))
    distribution.start({})
    try:
        location = asked(distribution, "POST", "/v2/small/blobs/uploads/")[1]["Location"]
        assert 201 == asked(distribution, "PUT", f"{location}&digest={digest(b'one')}", b"one")[0]
        os.kill(distribution.pid, signal.SIGKILL)
        until(lambda: not distribution.answers())
        distribution.wait(20)
        assert 200 == asked(distribution, "HEAD", f"/v2/small/blobs/{digest(b'one')}")[0]
    finally:
        distribution.stop()

    distribution.drop("small")
    again = Distribution(folder, ContainerProgram(engine, folder, image))
    again.start({})
    again.stop()
    assert [] == list(folder.glob("data/**/blobs/**/data"))
