"""Containers in Docker, asked of the engine itself: ends, limits, owners, and an engine that goes away."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from engine_door import Door, as_built_for, check, docker_api, engine_host, foreign
from engine_world import BASE, context

from atelier.cloud.context import Container, Fault, Refused, Size
from atelier.cloud.engines.docker.engine import DockerEngine
from atelier.cloud.engines.lines import LONGEST_LINE

pytestmark = pytest.mark.docker

PROGRAM = "import os, sys; exec(os.environ['PROGRAM'])"
SMALL = Size(vcpus=1, memory=64 << 20)


def build(name, *lines, files=()):
    recipe = "\n".join([f"FROM {BASE}", "WORKDIR /opt/program", "COPY . .", *lines, ""])
    with docker_api() as api:
        archive = context({"Dockerfile": recipe, "app.py": PROGRAM, **dict(files)})
        check(api.build(fileobj=archive, custom_context=True, tag=name, decode=True, rm=True))


@pytest.fixture(scope="module")
def images():
    """Build images; all of them go at the end."""
    made = []

    def make(*lines, files=()):
        made.append(f"atelier-test-{uuid.uuid4().hex}")
        build(made[-1], *lines, files=files)
        return made[-1]

    yield make
    with docker_api() as api:
        for name in made:
            api.remove_image(name, force=True)


@pytest.fixture(scope="module")
def image(images):
    return images('ENTRYPOINT ["python", "app.py"]')


@pytest.fixture
def engine(tmp_path):
    engine = DockerEngine(tmp_path / "home", {"DOCKER_HOST": engine_host()})
    yield engine
    engine.close()


@pytest.fixture
def run(engine, image, tmp_path):
    """Start a container that runs a program; return it and the lines of its log."""

    def start(program="", *, image=image, engine=engine, **more):
        lines = []
        container = Container(
            name="test",
            image=image,
            environment={"PROGRAM": program},
            root=tmp_path / "ml",
            **{"log": lines.append, **more},
        )
        return engine.start(container), lines

    return start


def until(is_so, patience=60):
    deadline = time.monotonic() + patience
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()


def mine(engine):
    with docker_api() as api:
        return api.containers(all=True, filters={"label": f"atelier.home={engine._label}"})


def test_a_container_ends_with_its_exit_code_and_its_whole_log(run, engine):
    running, lines = run(f"""
print('x' * {LONGEST_LINE + 5})
for number in range(5000):
    print(number)
sys.stdout.write('end')
sys.exit(3)
""")

    assert (3, None) == (running.wait(60), running.fault)
    assert ["x" * LONGEST_LINE, "xxxxx", *map(str, range(5000)), "end"] == lines
    assert [] == mine(engine)


def test_a_log_that_breaks_does_not_stop_the_container(run, caplog):
    def fail(line):
        raise OSError("disk full")

    running, _ = run("[print(i) for i in range(20000)]", log=fail)

    assert 0 == running.wait(60)
    assert "disk full" in caplog.text


def test_a_container_that_needs_too_much_memory_is_said_to(run):
    running, _ = run("hoard = [bytes(10_000_000) + b'x' for _ in range(100)]", size=SMALL)

    assert 137 == running.wait(60)
    assert (
        Fault("OutOfMemory: the container needed more than 0.0625 GiB of memory, and was killed")
        == running.fault
    )


def test_a_container_gets_no_more_than_the_machine_has(run, engine):
    program = "import time; print(os.statvfs('/dev/shm').f_blocks > 0, flush=True); time.sleep(60)"
    running, lines = run(program, size=Size(vcpus=4096, memory=1 << 50, gpus=8))

    assert until(lambda: lines)
    with docker_api() as api:
        (found,) = mine(engine)
        limits, machine = api.inspect_container(found["Id"])["HostConfig"], api.info()
    assert (machine["MemTotal"], machine["NCPU"] * 10**9) == (limits["Memory"], limits["NanoCpus"])
    running.stop(0)


def test_a_container_may_end_cleanly_when_it_is_asked_to(run):
    program = """
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print('ready', flush=True)
signal.pause()
"""
    running, lines = run(program)
    assert until(lambda: lines)

    assert running.wait(0.05) is None
    assert 0 == running.stop(30)
    assert 0 == running.stop(0) == running.wait()


def test_a_container_that_does_not_listen_is_killed_after_its_grace(run):
    running, lines = run(
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    assert until(lambda: lines)

    assert 128 + signal.SIGKILL == running.stop(0.3)


def test_a_container_that_someone_removes_is_said_to_be(run, engine):
    running, lines = run("import time; print(1, flush=True); time.sleep(60)")
    assert until(lambda: lines)

    with docker_api() as api:
        api.remove_container(mine(engine)[0]["Id"], force=True)

    assert 137 == running.wait(60)
    assert running.fault is None or "removed by someone else" in running.fault.reason


def test_an_image_without_a_command_is_refused(run, images, engine):
    bare = images("ENTRYPOINT []", "CMD []")

    with pytest.raises(Refused, match=r"(?i)no command specified"):
        run(image=bare)
    assert [] == mine(engine)


def test_an_image_that_is_not_there_is_refused(run):
    with pytest.raises(Refused, match="No such image: nothing"):
        run(image="nothing-of-this-name")


def test_an_image_for_another_processor_is_said_to_be(run, images):
    other, program = foreign()
    name = images('ENTRYPOINT ["/opt/program/foreign"]', files=[("foreign", program)])
    as_built_for(name, other)

    running, lines = run(image=name)

    assert 0 != running.wait(60)
    assert running.fault.reason.startswith(
        f"the image is built for linux/{other}, which this machine does not run: "
    ), lines


def test_a_user_of_the_image_s_own_may_read_and_write_its_folder(run, images, tmp_path):
    private = tmp_path / "ml" / "input" / "one"
    private.parent.mkdir(parents=True, mode=0o700)
    private.write_text("data")
    private.chmod(0o600)
    name = images("USER 12345", 'ENTRYPOINT ["python", "app.py"]')

    running, lines = run(
        "open('/opt/ml/made', 'w').write(open('/opt/ml/input/one').read()); print(os.getuid())", image=name
    )

    assert 0 == running.wait(60)
    assert ["12345"] == lines
    assert "data" == (tmp_path / "ml" / "made").read_text()


UNPRIVILEGED = """
import json, os, shutil, sys
from pathlib import Path
from atelier.cloud.context import Container
from atelier.cloud.engines.docker.engine import DockerEngine

home, image, host, owner, group = sys.argv[1:]
PROGRAM = '''
os.umask(0o077)
os.makedirs("/opt/ml/model")
open("/opt/ml/model/secret", "w").write("mine")
print(os.path.expanduser("~"))
'''

def train(home):
    engine, lines = DockerEngine(home, {"DOCKER_HOST": host}), []
    root = home / "ml"
    container = Container(
        name="t", image=image, environment={"PROGRAM": PROGRAM}, root=root, log=lines.append
    )
    code = engine.start(container).wait(60)
    made = (root / "model" / "secret").read_text()
    shutil.rmtree(root)
    engine.close()
    return [os.getuid(), code, made, lines]

train(Path(home, "first"))  # this interpreter may be for its owner only: what is imported late comes now
if not os.getuid():
    os.setgroups([int(group)])
    os.setgid(int(owner))
    os.setuid(int(owner))
print(json.dumps(train(Path(home, "second"))))
"""


def test_a_cloud_that_is_not_root_reads_and_removes_what_its_container_wrote(image):
    door, owner = Path(engine_host().removeprefix("unix://")), os.getuid() or 65534
    group = door.stat().st_gid if door.exists() else owner
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, owner, -1)
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, folder, image, engine_host(), str(owner), str(group)],
            capture_output=True, text=True, check=False, env={**os.environ, "HOME": folder},
        )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    assert [owner, 0, "mine", ["/tmp"]] == json.loads(done.stdout)


def test_a_container_that_a_build_left_goes_with_its_cloud(engine, images, tmp_path):
    image = images()
    command = [engine.tools / "docker", "run", "--detach", "--network", "none", image, "sleep", "60"]
    subprocess.run(command, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, check=True)
    assert 1 == len(mine(engine))

    engine.clean()

    assert [] == mine(engine)


def test_each_cloud_removes_its_own_containers_only(run, engine, tmp_path):
    neighbour = DockerEngine(tmp_path / "neighbour", {"DOCKER_HOST": engine_host()})
    theirs, _ = run("import time; time.sleep(60)", engine=neighbour)
    left, _ = run("import time; time.sleep(60)")

    DockerEngine(tmp_path / "home", {"DOCKER_HOST": engine_host()}).clean()

    assert 137 == left.wait(60)
    assert [] == mine(engine)
    assert theirs.wait(0) is None
    neighbour.close()
    assert theirs.wait(60) is not None


@pytest.fixture
def door():
    door = Door()
    yield door
    door.close()


@pytest.fixture
def distant(door, tmp_path):
    engine = DockerEngine(tmp_path / "home", {"DOCKER_HOST": door.host})
    yield engine
    engine.close()


def test_a_container_is_followed_through_an_absence_of_its_engine(run, door, distant):
    running, lines = run("import time; print(1, flush=True); time.sleep(3); print(2)", engine=distant)
    assert until(lambda: lines)

    door.shut()
    assert running.wait(0.5) is None
    door.open()

    assert (0, ["1", "2"]) == (running.wait(60), lines)


def test_a_container_that_ended_with_its_engine_is_said_to_have(run, door, distant, engine):
    running, lines = run("import time; print(1, flush=True); time.sleep(60)", engine=distant)
    assert until(lambda: lines)

    door.shut()
    with docker_api() as api:
        api.kill(mine(engine)[0]["Id"])
    door.open()

    assert 137 == running.wait(60)
    assert Fault("the Docker engine was stopped while the container ran", is_platform=True) == running.fault


def test_an_engine_that_is_away_starts_nothing_and_says_so(run, door, distant):
    door.shut()

    with pytest.raises(Refused, match=r"the Docker engine does not answer .*; is it running\?"):
        run(engine=distant)
    door.open()


def test_a_container_can_be_given_up_while_its_engine_is_away(run, door, distant, engine):
    running, lines = run("import time; print(1, flush=True); time.sleep(60)", engine=distant)
    assert until(lambda: lines)
    door.shut()

    assert 137 == running.stop(0.2)
    assert running.fault.is_platform
    door.open()
    engine.clean()
    assert [] == mine(engine)


def test_an_isolated_container_answers_at_its_port_until_it_ends(run, engine, tmp_path):
    (tmp_path / "ml" / "model").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = """
import socket
server = socket.create_server(("127.0.0.1", 8080))
while True:
    one, _ = server.accept()
    one.sendall(one.recv(100).upper())
    one.close()
"""
    running, _ = run(program, port=port, is_isolated=True)

    def ask():
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"hello")
            return client.recv(100)

    assert until(lambda: ask() == b"HELLO")
    running.stop(0)
    with pytest.raises(ConnectionRefusedError):
        ask()
    assert [] == mine(engine)
