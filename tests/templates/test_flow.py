"""The train-and-deploy state machine as a graph."""

import json
import re

import pytest

from atelier import synth
from atelier.templates import flow, training_files

# What the stack fills in: names become text, the rest numbers and objects.
FILLED = {
    "IsSpot": "true",
    "StoppingCondition": '{"MaxRuntimeInSeconds": 60}',
    "SharedChannel": "",
    "Network": "",
    "StartupSeconds": "60",
    "MaximumBitsPerByte": "3.2",
    "MaximumRegression": "0.05",
}


@pytest.fixture(scope="module")
def machine():
    return filled()


def filled(**values):
    """The definition as the stack fills it in."""
    known = {**FILLED, **values}
    return json.loads(re.sub(r"\$\{(\w+)\}", lambda name: known.get(name[1], name[1]), flow.definition()))


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


def test_every_name_is_filled_in_by_the_stack():
    resources = json.loads(synth.text("training-flow"))["Resources"]
    text, values = resources["StateMachine"]["Properties"]["DefinitionString"]["Fn::Sub"]
    parameters = json.loads(synth.text("training-flow"))["Parameters"]

    assert set(re.findall(r"\$\{(\w+)\}", text)) <= values.keys() | parameters.keys()
    assert "raw:" not in text


def test_every_task_that_may_fail_leads_to_taking_back(machine):
    for name, state in machine["States"].items():
        if state["Type"] == "Task" and name not in {"TakeBack", "ReportFailure"}:
            last = state["Catch"][-1]
            assert (["States.ALL"], "TakeBack", "$.failure") == (
                last["ErrorEquals"],
                last["Next"],
                last["ResultPath"],
            )


def test_every_failure_is_reported_before_the_flow_fails(machine):
    assert "Fail" not in reached(machine["States"], "TakeBack", without={"ReportFailure"})


def test_a_failure_never_ends_as_a_success(machine):
    assert "Done" not in reached(machine["States"], "TakeBack")


def test_nothing_succeeds_without_gate_smoke_test_and_record(machine):
    for name in ("Gate", "SmokeTest", "Record"):
        assert "Done" not in reached(machine["States"], "Begin", without={name})


def test_nothing_is_created_before_the_gate(machine):
    before = reached(machine["States"], "Begin", without={"Gate"})

    assert not [name for name in before if "createEndpoint" in machine["States"][name].get("Resource", "")]


def test_the_stable_endpoint_is_never_touched(machine):
    assert "stable" not in json.dumps(machine).lower()


def test_every_retry_is_bounded(machine):
    for state in machine["States"].values():
        for each in state.get("Retry", []):
            assert each["MaxAttempts"] <= 300


def test_every_loop_counts(machine):
    """Without its counting states the machine has no way back."""
    states = machine["States"]
    counting = {"CountRoom", "CountCandidate"}
    for name in states:
        if name not in counting:
            following = {then for step in edges(states[name]) for then in reached(states, step, counting)}
            assert name not in following


@pytest.mark.parametrize("prefix", ["gpt-neo-1a2b3c4d-99-2"])
def test_names_of_jobs_fit_sagemaker(prefix):
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", prefix)


def test_a_file_system_is_a_second_channel_within_the_vpc_that_reaches_it():
    network = training_files.network().replace("${Subnets}", 's-1", "s-2').replace("${Groups}", "sg-1")
    job = filled(SharedChannel=training_files.channel(), Network=network)["States"]["Train"]["Parameters"]

    assert ["training", "shared"] == [each["ChannelName"] for each in job["InputDataConfig"]]
    source = job["InputDataConfig"][1]["DataSource"]["FileSystemDataSource"]
    assert ("EFS", "rw", "/") == (
        source["FileSystemType"],
        source["FileSystemAccessMode"],
        source["DirectoryPath"],
    )
    assert {"Subnets": ["s-1", "s-2"], "SecurityGroupIds": ["sg-1"]} == job["VpcConfig"]


def test_without_a_file_system_a_job_is_in_no_vpc(machine):
    job = machine["States"]["Train"]["Parameters"]

    assert ["training"] == [each["ChannelName"] for each in job["InputDataConfig"]]
    assert "VpcConfig" not in job
