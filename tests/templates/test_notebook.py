"""The notebook's stack, and what its instance runs at every start."""

import base64
import json
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from atelier import synth
from atelier.templates import notebook

SCRIPT = notebook.START.read_text()
FUNCTIONS = SCRIPT.rpartition("trap ")[0]
"""The script without what it does: its functions alone."""


@pytest.fixture(scope="module")
def stack():
    return json.loads(synth.text("notebook"))["Resources"]


@pytest.fixture(scope="module")
def instance(stack):
    return stack["Notebook"]["Properties"]


def rendered(stack):
    head, script = stack["Start"]["Properties"]["OnStart"][0]["Content"]["Fn::Base64"]["Fn::Join"][1]
    return head["Fn::Sub"] + script


def run(program, place, *, seconds=30, **variables):
    """Run the script's functions, and then *program*, in bash; people and the volume are of this test."""
    person = f'as_person() {{ env HOME="{place}" "$@"; }}'
    given = {"PLACE": place, "WORK": f"{place}/SageMaker", "CODE": f"{place}/SageMaker/atelier"}
    settings = "\n".join(f'{name}="{value}"' for name, value in {**given, **variables}.items())
    return subprocess.run(
        ["bash"], input="\n".join([FUNCTIONS, person, settings, program]), capture_output=True, text=True,
        timeout=seconds, check=False, cwd=place,
    )  # fmt: skip


class Jupyter(BaseHTTPRequestHandler):
    """What Jupyter says of its kernels and terminals."""

    def do_GET(self):
        body = json.dumps(self.server.said.get(self.path, [])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def jupyter():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Jupyter)
    server.said = {}
    server.place = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def used(seconds, state):
    """Something that was used so many seconds ago."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return {"last_activity": moment.isoformat().replace("+00:00", "Z"), "execution_state": state}


def test_nobody_is_root_and_old_metadata_and_plain_volumes_are_out(instance):
    assert "Disabled" == instance["RootAccess"]
    assert {"MinimumInstanceMetadataServiceVersion": "2"} == instance["InstanceMetadataServiceConfiguration"]
    assert {"Fn::GetAtt": ["VolumeKey", "Arn"]} == instance["KmsKeyId"]


def test_the_internet_is_given_by_parameter_and_the_vpc_lets_nobody_in(stack, instance):
    assert {"Fn::If": ["HasInternet", "Enabled", "Disabled"]} == instance["DirectInternetAccess"]
    assert "SecurityGroupIngress" not in stack["NotebookGroup"]["Properties"]


def test_the_script_fits_into_a_lifecycle_configuration(stack):
    assert 16_384 > len(base64.b64encode(rendered(stack).encode()))


def test_a_shell_reads_the_script(stack):
    read = subprocess.run(["bash", "-n"], input=rendered(stack), capture_output=True, text=True, check=False)

    assert (0, "") == (read.returncode, read.stderr)


@pytest.mark.parametrize(
    ("kernels", "terminals", "is_busy"),
    [
        ([], [], False),
        ([(3600, "idle")], [(3600, "idle")], False),
        ([(3600, "busy")], [], True),
        ([(5, "idle")], [], True),
        ([], [(5, "idle")], True),
    ],
)
def test_work_is_a_kernel_that_computes_or_something_used_just_now(
    jupyter, tmp_path, kernels, terminals, is_busy
):
    jupyter.said = {
        "/api/kernels": [used(*each) for each in kernels],
        "/api/terminals": [used(*each) for each in terminals],
    }

    assert is_busy is (0 == run("is_busy", tmp_path, JUPYTER=jupyter.place).returncode)


def test_a_jupyter_that_does_not_answer_is_not_used(tmp_path):
    assert 1 == run("is_busy", tmp_path, JUPYTER="http://127.0.0.1:1").returncode


def test_an_idle_instance_stops_itself_once(jupyter, tmp_path):
    program = 'sleep() { :; }\naws() { echo "aws $*"; }\nEVERY=60\nwatch'

    said = run(program, tmp_path, JUPYTER=jupyter.place, IDLE_MINUTES="3", INSTANCE="atelier-notebook").stdout

    assert [
        "notebook: nobody has worked here for 3 minutes",
        "aws sagemaker stop-notebook-instance --notebook-instance-name atelier-notebook",
    ] == said.splitlines()


def git(folder, *words):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *words], cwd=folder, check=True,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture
def upstream(tmp_path):
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "one")
    return folder


def commit(folder, text):
    (folder / "text").write_text(text)
    git(folder, "add", "text")
    git(folder, "commit", "--quiet", "--message", text)


def test_the_source_is_cloned_with_the_roles_helper_and_then_followed(upstream, tmp_path):
    assert 0 == run("fetch", tmp_path, CLONE_URL=upstream).returncode
    commit(upstream, "two")

    assert 0 == run("fetch", tmp_path, CLONE_URL=upstream).returncode

    code = tmp_path / "SageMaker" / "atelier"
    assert "two" == (code / "text").read_text()
    assert "aws codecommit credential-helper" in (code / ".git" / "config").read_text()


def test_what_a_person_changed_stays_as_it_is(upstream, tmp_path):
    run("fetch", tmp_path, CLONE_URL=upstream)
    mine = tmp_path / "SageMaker" / "atelier" / "text"
    mine.write_text("mine")
    commit(upstream, "two")

    ran = run("fetch", tmp_path, CLONE_URL=upstream)

    assert (0, "mine") == (ran.returncode, mine.read_text())
    assert "has changes of its own" in ran.stdout


KERNEL = """
python3.11() {
    mkdir -p "$3/bin"
    printf '#!/bin/sh\necho "$@" >>said\n' >"$3/bin/python"
    chmod +x "$3/bin/python"
}
as_person() { "$@"; }
AWS_DEFAULT_REGION=us-east-1 PREFIX=team KERNEL=$WORK/.atelier-kernel
set_up_kernel && set_up_kernel
"""


def test_the_kernel_is_set_up_once_for_each_lock_and_told_of_at_every_start(tmp_path):
    lock = tmp_path / "SageMaker" / "atelier" / "requirements" / "notebooks.lock"
    lock.parent.mkdir(parents=True)

    for text in ("one==1", "one==2"):
        lock.write_text(text)
        ran = run(KERNEL, tmp_path)
        assert (0, "") == (ran.returncode, ran.stderr)

    said = (tmp_path / "said").read_text()
    assert 2 * ["pip", "pip", "ipykernel", "ipykernel"] == [line.split()[1] for line in said.splitlines()]
    assert "--require-hashes" in said
    assert "--env ATELIER_PREFIX team" in said


def test_a_repository_that_cannot_be_reached_does_not_keep_the_instance_from_starting(tmp_path):
    program = "sleep() { :; }\nIDLE_MINUTES=0\nmain && echo started"

    ran = run(program, tmp_path, CLONE_URL=tmp_path / "absent")

    assert "notebook: the source cannot be fetched\nstarted\n" == ran.stdout
