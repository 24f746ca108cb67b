"""`atelier up`, `down`, `status`, `logs` and `env`, as a shell sees them."""

import json
import os
import subprocess
import sys

import pytest

from atelier.cloud.gateway import launch


@pytest.fixture
def atelier(tmp_path):
    home = tmp_path / "home"

    def run(*arguments, code=0, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "atelier", *arguments],
            env={**os.environ, "ATELIER_HOME": str(home), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert code == done.returncode, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    run.home = home
    yield run
    launch.stop(home)


def test_a_cloud_goes_up_is_seen_and_goes_down(atelier):
    made = json.loads(atelier("up", "--json").stdout)
    again = json.loads(atelier("up", "--json").stdout)
    status = json.loads(atelier("status", "--json").stdout)

    assert (True, False) == (made["started"], again["started"])
    assert made["endpoint"] == status["endpoint"]
    assert 0 < status["memory"] < 250_000_000
    assert "Running on" in atelier("logs").stdout
    assert 1 == len(atelier("logs", "--lines", "1").stdout.splitlines())
    assert json.loads(atelier("down", "--json").stdout)["stopped"]
    assert not json.loads(atelier("status", "--json", code=3).stdout)["running"]


def test_its_variables_are_for_a_shell(atelier):
    atelier("up")
    call = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    script = f'{atelier("env").stdout}\nexec {sys.executable} -c "{call}"'
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    done = subprocess.run(["sh", "-c", script], env=clean, capture_output=True, text=True, check=True)

    assert "arn:aws:iam::000000000000:root" == done.stdout.strip()
    assert "for your shell" in atelier("env", "--help").stdout


@pytest.mark.parametrize("command", ["env", "logs"])
def test_without_a_cloud_the_way_to_one_is_told(atelier, command):
    done = atelier(command, code=1 if command == "logs" else 3)

    assert "atelier up" in done.stderr
    assert 1 == len(done.stderr.strip().splitlines())


def test_a_taken_port_is_told_in_one_line(atelier):
    with launch._bound(0) as taken:
        port = str(taken.getsockname()[1])
        done = atelier("up", "--port", port, code=1)

    assert f"port {port} is taken" in done.stderr
    assert 1 == len(done.stderr.strip().splitlines())


@pytest.mark.parametrize(
    "arguments", [["up", "--port", "0"], ["up", "--port", "x"], ["fly"], ["logs", "-n", "-1"]]
)
def test_wrong_use_exits_with_2(atelier, arguments):
    assert "Usage" in atelier(*arguments, code=2).stderr


def test_a_home_that_cannot_be_made_is_told(atelier, tmp_path):
    (tmp_path / "file").write_text("")

    done = atelier("up", code=1, ATELIER_HOME=str(tmp_path / "file" / "home"))

    assert str(tmp_path / "file") in done.stderr


def test_help_imports_no_command(atelier):
    script = "import sys; from atelier.cli.main import cli; cli(['--help'], standalone_mode=False); " + (
        "sys.exit(any(name in sys.modules for name in ('boto3', 'rich', 'atelier.cli.cloud')))"
    )

    assert 0 == subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode
