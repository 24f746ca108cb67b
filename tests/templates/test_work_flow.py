"""The state machine of trainings, merges and crops as a graph."""

import json
import re

import pytest

from atelier import synth
from atelier.templates import work_flow

NAME = "middleware-work"


@pytest.fixture(scope="module")
def machine():
    return json.loads(re.sub(r"\$\{(\w+)\}", "7", work_flow.definition()))


@pytest.fixture(scope="module")
def resources():
    return json.loads(synth.text(NAME))["Resources"]


def edges(state):
    """Where a state may lead."""
    yield from [state[key] for key in ("Next", "Default") if key in state]
    yield from [each["Next"] for key in ("Catch", "Choices") for each in state.get(key, [])]


def reached(states, start, without=()):
    found, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name not in found and name not in without:
            found.add(name)
            todo += edges(states[name])
    return found


def test_every_state_leads_to_a_state_and_is_reached(machine):
    assert machine["States"].keys() == reached(machine["States"], machine["StartAt"])


def test_every_name_is_filled_in_by_the_stack(resources):
    text, values = resources["Machine"]["Properties"]["DefinitionString"]["Fn::Sub"]
    parameters = json.loads(synth.text(NAME))["Parameters"]

    assert set(re.findall(r"\$\{(\w+)\}", text)) <= values.keys() | parameters.keys()
    assert "raw:" not in text


def test_whatever_a_state_does_its_failure_leads_somewhere(machine):
    for name, state in machine["States"].items():
        if state["Type"] == "Task":
            assert ["States.ALL"] == state["Catch"][-1]["ErrorEquals"], name


@pytest.mark.parametrize("name", ["MarkBegun", "Work", "MarkDone"])
def test_a_failure_is_kept_and_told_before_the_machine_fails(machine, name):
    states = machine["States"]

    assert ("MarkFailed", "$.failure") == tuple(
        states[name]["Catch"][-1][key] for key in ("Next", "ResultPath")
    )
    assert "Failed" not in reached(states, "MarkFailed", without={"TellFailed"})


def test_a_success_is_kept_before_it_is_told(machine):
    states = machine["States"]

    assert "TellDone" not in reached(states, machine["StartAt"], without={"MarkDone"})
    assert "TellDone" not in reached(states, "MarkFailed")


def test_no_loop_and_no_retry_is_without_end(machine):
    states = machine["States"]
    for name, state in states.items():
        assert all(each["MaxAttempts"] <= 8 for each in state.get("Retry", []))
        assert name not in {then for step in edges(state) for then in reached(states, step)}


def test_the_machine_runs_the_jobs_of_work_and_no_other(resources):
    policy = resources["MachineRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    jobs = next(each["Resource"] for each in policy if "sagemaker:CreateTrainingJob" in each["Action"])

    assert {"lora", "merge", "crop"} == {
        re.search(r"training-job/(\w+)-\*", each["Fn::Sub"])[1] for each in jobs
    }


def test_a_job_writes_what_it_makes_and_tells_and_deletes_no_checkpoint(resources):
    policy = resources["JobRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    may = {
        action: [str(each) for each in statement["Resource"]]
        for statement in policy
        for action in statement["Action"]
    }

    assert {"Lora", "Stable-diffusion"} == {
        found[1] for each in may["s3:PutObject"] if (found := re.search(r"checkpoints/([\w-]+)/", each))
    }
    assert all("/work/" in each for each in may["s3:DeleteObject"])


def test_the_reconciler_may_stop_what_was_stopped_by_half_and_begin_nothing(resources):
    policy = resources["WorkReconcilerRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    actions = {action for each in policy for action in each.get("Fn::If", [None, each])[1]["Action"]}

    assert {"states:StopExecution", "sagemaker:StopTrainingJob"} <= actions
    assert "states:StartExecution" not in actions


def test_beginning_needs_no_more_than_the_table_of_work(resources):
    statements = [
        each.get("Fn::If", [None, each])[1]
        for each in resources["BeginRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    ]

    assert {"dynamodb", "logs", "xray"} == {
        action.partition(":")[0] for each in statements for action in each["Action"]
    }
