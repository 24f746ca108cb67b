"""The order of the stacks, and what one hands to the next."""

import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from moto import mock_aws

from atelier import synth
from atelier.cli.deploy import kept
from atelier.cli.main import cli
from atelier.client.errors import Problem
from atelier.deploy import ORDER, PARTS, deploy, upload
from atelier.stacks import Outcome

OUTPUTS = {
    "atelier-storage": {
        "CodeBucketName": "code",
        "DataBucketName": "data",
        "ArtifactBucketName": "artifacts",
    },
    "atelier-account": {},
    "atelier-registry": {
        "ModelTableName": "models",
        "ImageRepositoryName": "atelier/gpt-neo",
        "ImageRepositoryUri": "host/atelier/gpt-neo",
        "SourceRepositoryName": "atelier",
    },
    "atelier-training-pipeline": {},
    "atelier-docs-site": {},
}
CODE = {"CodeKey": ("lambdas/1.zip", b"functions"), "LayerKey": ("layers/2.zip", b"packages")}


class FakeCloudFormation:
    """Creates every stack at once, with the outputs that the real ones have."""

    def __init__(self):
        self.created = {}

    def describe_stacks(self, StackName):
        name = StackName.removeprefix("arn:")
        if name not in self.created:
            error = {"Error": {"Code": "ValidationError", "Message": f"Stack {name} does not exist"}}
            raise ClientError(error, "DescribeStacks")
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in OUTPUTS[name].items()]
        return {
            "Stacks": [
                {
                    "StackName": name,
                    "StackId": f"arn:{name}",
                    "StackStatus": "CREATE_COMPLETE",
                    "Outputs": outputs,
                    "Parameters": self.created[name]["Parameters"],
                }
            ]
        }

    def get_template_summary(self, StackName):
        declared = json.loads(synth.text(StackName.removeprefix("arn:atelier-")))["Parameters"]
        told = [(key, each["Default"]) for key, each in declared.items() if "Default" in each]
        return {"Parameters": [{"ParameterKey": key, "DefaultValue": value} for key, value in told]}

    def create_change_set(self, **request):
        self.request = request
        return {"Id": "change", "StackId": f"arn:{request['StackName']}"}

    def describe_change_set(self, ChangeSetName, StackName):
        return {"Status": "CREATE_COMPLETE", "ChangeSetId": ChangeSetName, "StackId": StackName}

    def execute_change_set(self, **request):
        before = self.created.get(self.request["StackName"], {"Parameters": []})["Parameters"]
        keys = {each["ParameterKey"] for each in self.request["Parameters"] if "UsePreviousValue" in each}
        given = [each for each in self.request["Parameters"] if each["ParameterKey"] not in keys]
        kept = [each for each in before if each["ParameterKey"] in keys]
        self.created[self.request["StackName"]] = {**self.request, "Parameters": [*given, *kept]}

    def get_paginator(self, operation):
        return self

    def paginate(self, StackName):
        yield {"StackEvents": []}

    def parameters(self, name):
        return {each["ParameterKey"]: each["ParameterValue"] for each in self.created[name]["Parameters"]}


@pytest.fixture
def clients():
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        s3.create_bucket(Bucket="code")
        yield type("Clients", (), {"cloudformation": FakeCloudFormation(), "s3": s3})()


def stored(clients):
    return {each["Key"] for each in clients.s3.list_objects_v2(Bucket="code").get("Contents", [])}


def test_the_stacks_are_deployed_in_their_order(clients):
    outcomes = deploy(clients, prefix="atelier", code=lambda: CODE)

    assert [f"atelier-{name}" for name in ORDER] == [each.name for each in outcomes]
    assert {"created"} == {each.change for each in outcomes}


def test_what_one_stack_outputs_is_a_parameter_of_those_after_it(clients):
    deploy(clients, prefix="atelier", code=lambda: CODE)

    given = clients.cloudformation.parameters("atelier-training-pipeline")
    assert ("code", "models", "atelier", "lambdas/1.zip", "layers/2.zip") == tuple(
        given[name] for name in ("CodeBucketName", "ModelTableName", "Prefix", "CodeKey", "LayerKey")
    )
    declared = synth.TEMPLATES["training-pipeline"]().parameters
    assert {name for name, each in declared.items() if "Default" not in each.properties} <= given.keys()


def test_code_is_uploaded_before_the_stack_that_runs_it(clients):
    deploy(clients, prefix="atelier", code=lambda: CODE)

    assert {"lambdas/1.zip", "layers/2.zip"} <= stored(clients)


def test_code_that_is_there_is_not_uploaded_again(clients):
    upload(clients.s3, "code", CODE)
    clients.s3.put_object(Bucket="code", Key="lambdas/1.zip", Body=b"as it was")

    upload(clients.s3, "code", CODE)

    assert b"as it was" == clients.s3.get_object(Bucket="code", Key="lambdas/1.zip")["Body"].read()


def test_a_parameter_that_a_person_chooses_reaches_its_stack(clients):
    deploy(clients, prefix="atelier", parameters={"TrainingSteps": "10"}, code=lambda: CODE)

    assert "10" == clients.cloudformation.parameters("atelier-training-pipeline")["TrainingSteps"]


def test_what_a_person_chose_stays_until_the_defaults_are_asked_for(clients):
    deploy(clients, prefix="atelier", parameters={"TrainingSteps": "10"}, code=lambda: CODE)

    again = deploy(clients, prefix="atelier", code=lambda: CODE)
    reset = deploy(clients, prefix="atelier", code=lambda: CODE, keeps=False)

    assert {"TrainingSteps": "10"} == again[-1].kept
    assert {} == reset[-1].kept
    assert "TrainingSteps" not in clients.cloudformation.parameters("atelier-training-pipeline")


def test_the_command_says_what_it_kept_and_how_to_forget_it():
    clients = SimpleNamespace(cloudformation=FakeCloudFormation(), s3=None)

    def said(*words):
        return CliRunner().invoke(cli, ["deploy", "docs", *words], obj=clients).output

    assert "Kept" not in said("-p", "DocsDomain=docs.example.org")
    expected = (
        "Kept as set before: DocsDomain=docs.example.org (`atelier deploy PART --defaults` forgets them)"
    )
    assert expected in said()
    assert "Kept" not in said("--defaults")
    assert "Kept" not in said()


def test_what_two_stacks_keep_under_one_name_is_told_of_both():
    outcomes = [
        Outcome(name=name, change="unchanged", outputs={}, kept={"Days": days}, seconds=0)
        for name, days in (("atelier-state", "30"), ("atelier-fleet", "7"))
    ]

    (told,) = kept(outcomes)

    assert "Days=30, Days=7" in told


@pytest.mark.parametrize("name", ["Nonsense", "CodeKey", "Prefix"])
def test_a_parameter_that_nobody_may_choose_is_refused_by_name(clients, name):
    with pytest.raises(
        Problem, match=f"no stack has a parameter {name} to choose; there are .*TrainingSteps"
    ):
        deploy(clients, prefix="atelier", parameters={name: "x"}, code=lambda: CODE)
    assert {} == clients.cloudformation.created


@pytest.mark.parametrize("part", PARTS)
def test_every_part_gives_each_stack_what_it_needs(part):
    given = {"Prefix", "CodeKey", "LayerKey", "EndpointImage", "ImageSourceKey", "FleetSourceKey"}
    for name in PARTS[part]:
        template = synth.TEMPLATES[name]()
        needed = {key for key, each in template.parameters.items() if "Default" not in each.properties}
        assert (name, set()) == (name, needed - given)
        given |= set(template.outputs)
