"""An account that has the WebUI's stacks, as far as the client looks at it."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

OLD, NEW = (f"123456789012.dkr.ecr.us-east-1.amazonaws.com/atelier/webui@sha256:{each * 64}" for each in "ab")
PASSWORD = "correct horse battery staple"
STACKS = {
    "atelier-webui-state": {"WebuiHistoryTableName": "history"},
    "atelier-webui-pipeline": {"WebuiTrackFunctionName": "track"},
    "atelier-workstation": {
        "LaunchTemplateName": "atelier-webui",
        "PasswordSecretArn": "arn:password",
        "WebuiUser": "artist",
    },
}


def refusal(code: str, operation: str, message: str = "no") -> ClientError:
    """Return what boto3 raises."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class FakeAccount:
    """Instances, parameters and a history; `clients` is what the commands are given."""

    def __init__(self, *, image: str | None = OLD, stacks: dict[str, dict[str, str]] | None = None) -> None:
        self.image = image
        self.stacks = STACKS if stacks is None else stacks
        self.instances: dict[str, dict[str, Any]] = {}
        self.runs: list[dict[str, str]] = []
        self.looked: dict[str, Any] = {"outcome": "unchanged", "summary": "nothing new"}
        self.refuses: ClientError | None = None
        self.host = "127.0.0.1:1"
        self.console = "pulling the image\nno space left on device\n"
        self.volumes: set[str] = set()
        self.asked: list[str] = []
        self.clients = SimpleNamespace(
            ssm=self, ec2=self, dynamodb=self, cloudformation=self, secretsmanager=self, awslambda=self
        )
        self.clients.where = "the local cloud"

    # CloudFormation, Parameter Store, Secrets Manager, Lambda

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if StackName not in self.stacks:
            raise refusal("ValidationError", "DescribeStacks", f"Stack {StackName} does not exist")
        outputs = [{"OutputKey": key, "OutputValue": each} for key, each in self.stacks[StackName].items()]
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Outputs": outputs}]}

    def get_parameters(self, Names: list[str]) -> dict[str, Any]:
        values = {"/atelier/webui/image": self.image, "/atelier/webui/upstream-commit": "c" * 40}
        found = [{"Name": each, "Value": values[each]} for each in Names if values.get(each)]
        return {"Parameters": found if self.image else []}

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        assert "arn:password" == SecretId
        return {"SecretString": PASSWORD}

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert ("track", b"{}") == (FunctionName, Payload)
        failed = {"FunctionError": "Unhandled"} if "errorMessage" in self.looked else {}
        return {"Payload": io.BytesIO(json.dumps(self.looked).encode()), **failed}

    def get_paginator(self, operation: str) -> Any:
        pages = {
            "describe_instances": lambda **request: [self._described(request["Filters"])],
            "query": lambda **request: [
                {"Items": [{key: {"S": each} for key, each in run.items()} for run in self.runs]}
            ],
        }
        return SimpleNamespace(paginate=pages[operation])

    # EC2

    def describe_launch_template_versions(self, **request: Any) -> dict[str, Any]:
        return {"LaunchTemplateVersions": [{"LaunchTemplateData": {"InstanceType": "t3.large"}}]}

    def run_instances(self, **request: Any) -> dict[str, Any]:
        if self.refuses:
            raise self.refuses
        id = f"i-{len(self.instances):017x}"
        self.volumes.add(f"vol-{id}")
        self.instances[id] = {
            "InstanceId": id,
            "State": {"Name": "running"},
            "InstanceType": request.get("InstanceType", "t3.large"),
            "LaunchTime": datetime.now(UTC),
            "PublicDnsName": self.host,
            "Tags": list(request["TagSpecifications"][0]["Tags"]),
            "BlockDeviceMappings": [
                {"Ebs": {"VolumeId": "vol-root", "DeleteOnTermination": True}},
                {"Ebs": {"VolumeId": f"vol-{id}", "DeleteOnTermination": False}},
            ],
        }
        return {"Instances": [self.instances[id]]}

    def describe_instances(self, InstanceIds: list[str]) -> dict[str, Any]:
        if not all(id in self.instances for id in InstanceIds):
            raise refusal("InvalidInstanceID.NotFound", "DescribeInstances")
        return {"Reservations": [{"Instances": [self.instances[id]]} for id in InstanceIds]}

    def _described(self, filters: list[dict[str, Any]]) -> dict[str, Any]:
        tags = {each["Name"][4:]: each["Values"] for each in filters if each["Name"].startswith("tag:")}
        states = next(each["Values"] for each in filters if each["Name"] == "instance-state-name")
        found = [
            each
            for each in self.instances.values()
            if each["State"]["Name"] in states
            and all(self.tags(each["InstanceId"]).get(key) in values for key, values in tags.items())
        ]
        return {"Reservations": [{"Instances": [each]} for each in found]}

    def tags(self, id: str) -> dict[str, str]:
        """What an instance is tagged with."""
        return {each["Key"]: each["Value"] for each in self.instances[id]["Tags"]}

    def create_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        for id in Resources:
            tags = {**self.tags(id), **{each["Key"]: each["Value"] for each in Tags}}
            self.instances[id]["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]

    def delete_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        gone = {each["Key"] for each in Tags}
        for id in Resources:
            self.instances[id]["Tags"] = [
                each for each in self.instances[id]["Tags"] if each["Key"] not in gone
            ]

    def _move(self, verb: str, ids: list[str], state: str) -> None:
        for id in ids:
            self.asked.append(f"{verb} {id}")
            self.instances[id]["State"]["Name"] = state

    def start_instances(self, InstanceIds: list[str]) -> None:
        self._move("start", InstanceIds, "running")

    def stop_instances(self, InstanceIds: list[str]) -> None:
        self._move("stop", InstanceIds, "stopped")

    def reboot_instances(self, InstanceIds: list[str]) -> None:
        self._move("reboot", InstanceIds, "running")

    def terminate_instances(self, InstanceIds: list[str]) -> None:
        self._move("terminate", InstanceIds, "terminated")

    def get_console_output(self, InstanceId: str) -> dict[str, str]:
        return {"Output": self.console}

    def describe_volumes(self, VolumeIds: list[str]) -> dict[str, Any]:
        if not self.volumes & set(VolumeIds):
            raise refusal("InvalidVolume.NotFound", "DescribeVolumes")
        return {"Volumes": [{"VolumeId": each} for each in VolumeIds]}

    def delete_volume(self, VolumeId: str) -> None:
        self.volumes.remove(VolumeId)
