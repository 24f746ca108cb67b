"""The command line: words for people, JSON for programs, an exit code for both."""

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from click.testing import CliRunner
from client_fakes import FakeCodePipeline, action_detail

from atelier.cli import errors
from atelier.cli.main import COMMANDS, cli
from atelier.client.errors import NotDeployed
from atelier.cloud.gateway.launch import NotRunning

REASON = "unknown hyperparameter: learning_speed"


def run(*words, codepipeline=None, **parts):
    clients = SimpleNamespace(
        codepipeline=codepipeline or FakeCodePipeline(), where="the local cloud", is_local=True, **parts
    )
    return CliRunner().invoke(cli, words, obj=clients)


@pytest.fixture
def failed():
    details = [
        action_detail("Train", "Failed", message=REASON, seconds=75),
        action_detail("Build", "Succeeded"),
        action_detail("Source", "Succeeded"),
    ]
    return FakeCodePipeline(status="Failed", details=details)


@pytest.fixture
def waiting():
    custom = "Version 2: 2.31 bits per byte; better.\nPerplexity 2095 -> 148."
    return FakeCodePipeline(details=[action_detail("Approve", "InProgress", custom=custom)], token="t")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_with_an_example(name):
    result = CliRunner().invoke(cli, [name, "--help"])

    assert 0 == result.exit_code
    assert "Example" in result.output
    assert f"atelier {name}" in result.output


def test_show_gives_the_reason_of_a_failure(failed):
    result = run("pipeline", "show", codepipeline=failed)

    assert 0 == result.exit_code
    assert REASON in result.output
    assert "1 min 15 s" in result.output


def test_show_gives_a_reason_as_it_is(failed):
    failed.details[0]["output"]["executionResult"]["errorDetails"]["message"] = "COPY failed [/bin/sh] [red]"

    result = run("pipeline", "show", codepipeline=failed)

    assert 0 == result.exit_code
    assert "[/bin/sh] [red]" in " ".join(result.output.split())


def test_show_fits_a_page(failed):
    failed.details[0]["output"]["executionResult"]["errorDetails"]["message"] = "a long reason " * 40

    result = run("pipeline", "show", codepipeline=failed)

    assert 100 >= max(len(line) for line in result.output.splitlines())


def test_show_as_json_gives_every_action(failed):
    result = run("pipeline", "show", "--json", codepipeline=failed)

    shown = json.loads(result.stdout)
    assert "Failed" == shown["status"]
    assert [("Train", REASON)] == [
        (each["stage"], each["reason"]) for each in shown["actions"] if each["reason"]
    ]
    assert "NotStarted" == shown["actions"][-1]["status"]


def test_show_of_what_waits_gives_the_facts_and_says_how_to_decide(waiting):
    result = run("pipeline", "show", codepipeline=waiting)

    assert "Version 2: 2.31 bits per byte; better." in result.output
    assert "atelier pipeline approve atelier-training" in result.output


def test_list_names_the_pipelines_and_their_newest_run(failed):
    result = run("pipeline", "list", codepipeline=failed)

    assert "atelier-training" in result.output
    assert "Failed" in result.output


def test_list_without_pipelines_says_what_to_do():
    assert "run `atelier deploy`" in run("pipeline", "list", codepipeline=FakeCodePipeline(names=[])).output


def test_start_passes_the_variables_on():
    codepipeline = FakeCodePipeline()

    result = run("pipeline", "start", "-v", "DATA_VERSION=d1", "--json", codepipeline=codepipeline)

    assert {"name": "atelier-training", "execution_id": "run-1"} == json.loads(result.stdout)
    assert [{"name": "DATA_VERSION", "value": "d1"}] == codepipeline.started["variables"]


def test_a_variable_without_a_value_is_wrong_use():
    result = run("pipeline", "start", "-v", "DATA_VERSION")

    assert 2 == result.exit_code
    assert "is not NAME=VALUE" in result.stderr


@pytest.mark.parametrize(("verb", "word"), [("approve", "Approved"), ("reject", "Rejected")])
def test_a_decision_carries_the_comment(waiting, verb, word):
    result = run("pipeline", verb, "--comment", "because", codepipeline=waiting)

    assert 0 == result.exit_code
    assert {"summary": "because", "status": word} == waiting.decision["result"]


def test_a_rejection_needs_a_reason(waiting):
    result = run("pipeline", "reject", codepipeline=waiting)

    assert 2 == result.exit_code
    assert "--comment" in result.stderr


def test_where_nothing_waits_a_decision_fails_in_one_line():
    result = run("pipeline", "approve")

    assert 1 == result.exit_code
    assert 1 == len(result.stderr.splitlines())
    assert "nothing waits for approval" in result.stderr


def test_a_pipeline_that_is_not_there_fails_in_one_line():
    result = run("pipeline", "show", "nonsense")

    assert (1, "") == (result.exit_code, result.stdout)
    assert (
        "Error: there is no pipeline nonsense in the local cloud; there is atelier-training\n"
        == result.stderr
    )


def test_without_a_cloud_it_says_how_to_start_one(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))

    result = CliRunner().invoke(cli, ["pipeline", "list"])

    assert 3 == result.exit_code
    assert "atelier up" in result.stderr


def denied():
    details = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized to perform: s3:Get"}}
    return ClientError(details, "GetObject")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NotRunning("no local cloud runs: start one with `atelier up`"), 3, "atelier up"),
        (NotDeployed("there is no stack x"), 1, "there is no stack x"),
        (denied(), 1, "GetObject was refused: not authorized to perform: s3:Get"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), 3, "Is the local cloud up"),
        (NoCredentialsError(), 1, "Sign in to AWS first"),
        (FileNotFoundError(2, "No such file or directory", "build/x"), 1, "build/x: No such file"),
        (ZeroDivisionError("division"), 1, "a fault of Atelier itself, ZeroDivisionError"),
    ],
)
def test_every_error_becomes_one_line_and_an_exit_code(error, code, words):
    told = errors.translate(error)

    assert code == told.exit_code
    assert words in told.message
    assert "\n" not in told.message


def test_an_interrupt_says_how_to_go_on():
    with pytest.raises(errors.Interrupted, match="run it again") as caught, errors.explained("run it again"):
        raise KeyboardInterrupt

    assert 130 == caught.value.exit_code
