"""The process engine: containers end when they should, and with their cloud at the latest."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_images import cache, make

from atelier.cloud.context import Container, Mount, Refused
from atelier.cloud.engines import keeper
from atelier.cloud.engines.images import FILES, Layer, assemble
from atelier.cloud.engines.process import LONGEST_LINE

URI = "000000000000.dkr.ecr.us-east-1.amazonaws.com/small"


@pytest.fixture
def run(engine, store, home, tmp_path):
    """Start a container of a program; what is left is stopped."""
    started = []

    def start(program, *arguments, port=None, entrypoint=("python", "main.py"), own=None, **environment):
        image = make(home, {"main.py": program}, entrypoint)
        store.registry.put(URI, image.digest, image.digest)
        lines = []
        running = engine.start(
            Container(
                name="test",
                image=f"{URI}@{image.digest}",
                arguments=arguments,
                environment=environment,
                port=port,
                log=lines.append,
                **({"root": tmp_path / "ml"} if own is None else own),
            )
        )
        started.append(running)
        return running, lines

    yield start
    for running in started:
        running.stop(0)


def until(claim, patience=60.0):
    end = time.monotonic() + patience
    while not claim() and time.monotonic() < end:
        time.sleep(0.01)
    return claim()


def test_a_container_runs_its_entrypoint_with_arguments_in_its_folder(run):
    running, lines = run("import os, sys; print(sys.argv[1:], os.listdir())", "train")

    assert 0 == running.wait(30)
    assert ["['train'] ['main.py']"] == lines


def test_a_container_sees_its_own_environment_and_nothing_of_the_host(run, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the host's")
    program = "import json, os, sys; print(json.dumps([dict(os.environ), sys.path]))"

    running, lines = run(program, port=8123, COLOUR="red")
    assert 0 == running.wait(30)
    environment, path = json.loads(lines[0])

    assert {
        "COLOUR": "red",
        "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"),
        "SAGEMAKER_BIND_TO_PORT": "8123",
        "BIND_HOST": "127.0.0.1",
    }.items() <= environment.items()
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert not [each for each in path if str(sys.prefix) in each and "site-packages" in each]


def test_a_training_container_has_no_port(run):
    running, lines = run("import os; print(os.environ.get('SAGEMAKER_BIND_TO_PORT'))")

    assert 0 == running.wait(30)
    assert ["None"] == lines


def test_absolute_paths_of_the_image_lead_to_its_files(engine, store, home, tmp_path):
    recipe = "FROM python:3.11\nWORKDIR /opt/program\nCOPY main.py .\nCOPY lib /opt/lib\n"
    recipe += "ENV PYTHONPATH=/none:/opt/lib OTHER=/etc\n"
    files = {"main.py": "import extra, os; print(extra.X, os.environ['OTHER'])", "lib/extra.py": "X = 7"}
    image = make(home, files, ("python", "/opt/program/main.py"), recipe)
    store.registry.put(URI, "v1", image.digest)
    lines = []

    running = engine.start(
        Container(name="t", image=f"{URI}:v1", environment={}, root=tmp_path / "ml", log=lines.append)
    )

    assert 0 == running.wait(30)
    assert ["7 /etc"] == lines


def test_an_exit_code_and_the_last_half_line_arrive(run):
    running, lines = run("import sys; print('one'); sys.stderr.write('two'); sys.exit(3)")

    assert 3 == running.wait(30)
    assert ["one", "two"] == sorted(lines)


def test_a_huge_line_arrives_in_pieces(run):
    running, lines = run(f"print('x' * {LONGEST_LINE * 2 + 5})")

    assert 0 == running.wait(30)
    assert [LONGEST_LINE, LONGEST_LINE, 5] == [len(line) for line in lines]


def test_a_missing_command_ends_with_127_and_says_so(run):
    running, lines = run("", entrypoint=("nothing-of-this-name",))

    assert 127 == running.wait(30)
    assert "nothing-of-this-name" in lines[-1]


def test_a_container_that_asks_to_end_cleanly_may(run):
    program = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print('ready')
signal.pause()
"""
    running, lines = run(program)
    assert until(lambda: lines)

    assert 0 == running.stop(10)


def test_a_container_that_ignores_sigterm_is_killed_after_its_grace(run):
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on'); time.sleep(60)"
    )
    running, lines = run(program)
    assert until(lambda: lines)

    assert 128 + signal.SIGKILL == running.stop(0.2)


def test_children_end_with_their_container_even_in_a_session_of_their_own(run):
    program = """
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)
print(child.pid)
"""
    running, lines = run(program)

    assert 0 == running.wait(30)
    assert until(lambda: not alive(int(lines[0])))


def test_waiting_with_a_timeout_leaves_it_running(run):
    running, _ = run("import time; time.sleep(60)")

    assert running.wait(0.05) is None
    assert 128 + signal.SIGTERM == running.stop(10)


def test_stopping_twice_at_once_and_after_the_end_is_harmless(run):
    running, _ = run("import time; time.sleep(60)")
    threads = [threading.Thread(target=running.stop, args=(5,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 128 + signal.SIGTERM == running.stop(0) == running.wait()


def test_nothing_of_an_ended_container_stays(run, home):
    running, _ = run("print('done')")
    running.wait(30)

    assert [] == list((home / "containers").iterdir())


def test_a_broken_log_does_not_stop_the_container(engine, store, home, tmp_path, caplog):
    image = make(home, {"main.py": "for i in range(20000): print('line', i)"}, ("python", "main.py"))
    store.registry.put(URI, "v1", image.digest)

    def fail(line):
        raise OSError("disk full")

    container = Container(name="t", image=f"{URI}:v1", environment={}, root=tmp_path / "ml", log=fail)

    assert 0 == engine.start(container).wait(60)
    assert "disk full" in caplog.text


@pytest.mark.parametrize("name", [f"{URI}:none", f"{URI}@sha256:{'0' * 64}", "python:3.11"])
def test_an_image_that_was_not_pushed_is_refused(engine, tmp_path, name):
    container = Container(name="t", image=name, environment={}, root=tmp_path, log=print)

    with pytest.raises(Refused, match="is not in ECR: push it"):
        engine.start(container)


def test_an_image_that_docker_made_is_refused(engine, store, tmp_path):
    image = assemble({"config": {}}, [Layer(FILES, store.put(b"tar"), 3)])
    store.save(image)
    store.registry.put(URI, "foreign", image.digest)
    container = Container(name="t", image=f"{URI}:foreign", environment={}, root=tmp_path, log=print)

    with pytest.raises(Refused, match="was not built by the process engine: it needs Docker"):
        engine.start(container)


def test_an_argument_that_no_kernel_takes_is_refused(run, home):
    with pytest.raises(Refused, match="cannot be started"):
        run("print()", "a\0b")
    assert [] == list((home / "containers").iterdir())


CLOUD = """
import sys, threading
from pathlib import Path
from atelier.cloud.context import Container
from atelier.cloud.engines.process import ProcessEngine

home, cache, image, root = sys.argv[1:]
say = lambda line: print(line, flush=True)
engine = ProcessEngine(Path(home), Path(cache))
container = Container(name="t", image=image, environment={}, root=Path(root), log=say)
thread = threading.Thread(target=engine.start, args=(container,))
thread.start()
thread.join()
sys.stdin.read()
"""

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(os.getpid(), child.pid)
child.wait()
"""


@contextlib.contextmanager
def another_cloud(store, home, tmp_path):
    """Run an engine in a process of its own; yield that process and its container's processes."""
    image = make(home, {"main.py": PARENT}, ("python", "main.py"))
    store.registry.put(URI, "v1", image.digest)
    words = [str(home), str(cache()), f"{URI}:v1", str(tmp_path / "ml")]
    with subprocess.Popen(
        [sys.executable, "-c", CLOUD, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, [int(word) for word in process.stdout.readline().split()]


def test_containers_outlive_the_thread_that_started_them_and_end_with_a_killed_cloud(store, home, tmp_path):
    with another_cloud(store, home, tmp_path) as (process, pids):
        time.sleep(0.2)
        assert [True, True] == [alive(pid) for pid in pids]
        process.kill()

        assert until(lambda: not any(alive(pid) for pid in pids))


def test_what_a_killed_cloud_and_its_keeper_left_is_cleaned_by_the_next(store, home, tmp_path, engine):
    with another_cloud(store, home, tmp_path) as (process, pids):
        os.kill(keeper_of(process.pid), signal.SIGKILL)
        process.kill()
        process.wait()
        assert [True, True] == [alive(pid) for pid in pids]

        engine.clean()

        assert until(lambda: not any(alive(pid) for pid in pids))
        assert [] == list((home / "containers").iterdir())


def test_cleaning_spares_a_process_that_got_a_dead_container_s_number(engine, home):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        folder = home / "containers" / "old"
        folder.mkdir()
        (folder / "process.json").write_text(json.dumps({"pid": bystander.pid, "started": "1"}))

        engine.clean()

        assert alive(bystander.pid)
        assert not folder.exists()
        bystander.kill()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def keeper_of(parent):
    """The number of the child of *parent* that runs keeper.py; any of its threads may have started it."""
    for listed in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in listed.read_text().split():
            if keeper.__file__ in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
    raise AssertionError("no keeper")


def test_a_container_finds_folders_where_they_are_and_writes_only_where_it_may(run, tmp_path):
    for name in ("open", "sealed"):
        (tmp_path / name).mkdir()
    mounts = (
        Mount(source=tmp_path / "open", target="/mnt/open"),
        Mount(source=tmp_path / "sealed", target="/mnt/open/sealed", is_read_only=True),
    )
    program = """
import os, pathlib, sys
for path in (os.environ["OPEN"], *sys.argv[1].split(":")):
    try:
        pathlib.Path(path, "file").write_text("x")
        print("wrote")
    except OSError as error:
        print(error.strerror)
"""

    running, lines = run(program, "/mnt/open/sealed:/mnt/open", OPEN="/mnt/open", own={"mounts": mounts})

    assert 0 == running.wait(10)
    assert ["wrote", "Read-only file system", "wrote"] == lines
    assert ["open/file"] == [str(each.relative_to(tmp_path)) for each in tmp_path.glob("*/file")]


def test_a_container_serves_at_the_address_and_by_the_command_that_it_is_given(run):
    program = (
        "import os, sys; print(sys.argv[1:], os.environ['BIND_HOST'], 'SAGEMAKER_BASE_DIR' in os.environ)"
    )
    own = {"address": "127.220.3.4", "entrypoint": ("python", "main.py", "first")}

    running, lines = run(program, "second", port=80, own=own)

    assert 0 == running.wait(10)
    assert ["['first', 'second'] 127.220.3.4 False"] == lines


def test_a_container_is_probed_from_inside_while_it_runs(run):
    running, _ = run("import time; time.sleep(60)", WORD="in")

    assert 0 == running.probe(["/bin/sh", "-c", "test $WORD = in"], 5)
    assert 3 == running.probe(["python", "-c", "raise SystemExit(3)"], 5)
    assert 127 == running.probe(["no-such-command"], 5)
    assert running.probe(["sleep", "60"], 0.1) is None
