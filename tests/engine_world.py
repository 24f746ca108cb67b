"""A running cloud of either container engine, with one small image of every version that a test asks for."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shutil
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import RunningCloud, start_cloud
from engine_door import check, docker_api
from sagemaker_world import ECHO
from small_images import push

from atelier import synth
from atelier.cloud.gateway import launch

BASE = "python:3.11-slim-bookworm"
SAGEMAKER = "sagemaker.amazonaws.com"
SETTINGS = {"training_grace": 5, "serving_grace": 2, "startup_timeout": 60, "sync_interval": 0.5}

PROGRAM = f"""
import os, pathlib, signal, subprocess, sys, time
VERSION = os.environ.get("VERSION", "v1")
base = pathlib.Path(os.environ.setdefault("SAGEMAKER_BASE_DIR", "/opt/ml"))
os.environ.setdefault("SAGEMAKER_BIND_TO_PORT", "8080")

def train():
    print("loss=1.5", flush=True)
    exec(os.environ.get("TRAIN", ""), globals())
    (base / "model" / "name").write_text(VERSION)

def serve():
    exec(os.environ.get("SERVE", ""), globals())
    exec({ECHO!r}, globals())

{{"train": train, "serve": serve}}[sys.argv[1]]()
"""


DIES_WHEN_TOLD = (
    "time.sleep = lambda seconds, rest=time.sleep: rest(seconds) if seconds < 100 else os._exit(7)"
)
DIE = b"sleep101"
"""What a container that runs DIES_WHEN_TOLD is asked to end it."""


def allow(*actions: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}


PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:GetAuthorizationToken")
WORK = (allow("s3:*", "logs:*", "cloudwatch:PutMetricData"), allow(*PULL))


class EngineWorld:
    """A cloud with a bucket, a role, and an image; what it starts and makes ends with `close`."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.home = Path(tempfile.mkdtemp(prefix="atelier-"))
        (self.home / "sagemaker.json").write_text(json.dumps(SETTINGS))
        self.images: set[str] = set()
        self.up()
        self.client("s3").create_bucket(Bucket="data")
        self.role = self.make_role(*WORK)

    def up(self) -> None:
        """Start the cloud, or start it again."""
        self.cloud: RunningCloud = start_cloud(self.home, self.engine)

    def close(self) -> None:
        launch.stop(self.home)
        if self.images:
            with docker_api() as api:
                for name in self.images:
                    with contextlib.suppress(Exception):
                        api.remove_image(name, force=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def make_role(self, *statements: Mapping[str, Any], service: str = SAGEMAKER) -> str:
        iam, name = self.client("iam"), f"r{uuid.uuid4().hex[:12]}"
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=policy)
        return str(arn)

    def deploy(self, template: str, **parameters: str) -> dict[str, str]:
        """Create a stack from one of our templates; return its outputs."""
        cloudformation = self.client("cloudformation")
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        cloudformation.create_stack(
            StackName=template,
            TemplateBody=synth.text(template),
            Parameters=given,
            Capabilities=["CAPABILITY_IAM"],
        )
        waiting = {"Delay": 0.2, "MaxAttempts": 300}
        cloudformation.get_waiter("stack_create_complete").wait(StackName=template, WaiterConfig=waiting)
        (stack,) = cloudformation.describe_stacks(StackName=template)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def image(
        self,
        name: str = "app",
        program: str = PROGRAM,
        command: tuple[str, ...] = ("python", "app.py"),
        **more: Any,
    ) -> str:
        """Build an image as this cloud's engine does, push it; return its URI with its digest."""
        if self.engine == "process":
            return push(self.cloud, name, {"app.py": program}, command, tag=uuid.uuid4().hex[:8])
        return self._pushed(name, program, command, **more)

    def _pushed(
        self, name: str, program: str, command: tuple[str, ...], recipe: str = "", platform: str | None = None
    ) -> str:
        ecr = self.client("ecr")
        with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
            ecr.create_repository(repositoryName=name)
        uri = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        user, _, password = base64.b64decode(token).decode().partition(":")
        tag = uuid.uuid4().hex[:8]
        dockerfile = f"FROM {BASE}\nWORKDIR /opt/program\nCOPY app.py .\n{recipe}\n"
        dockerfile += f"ENTRYPOINT {json.dumps(command)}\n"
        with docker_api() as api:
            made = api.build(
                fileobj=context({"Dockerfile": dockerfile, "app.py": program}),
                custom_context=True, tag=f"{uri}:{tag}", decode=True, rm=True, platform=platform,
            )  # fmt: skip
            check(made)
            self.images.add(f"{uri}:{tag}")
            check(
                api.push(
                    uri, tag, auth_config={"username": user, "password": password}, stream=True, decode=True
                )
            )
        found = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])["imageDetails"]
        return f"{uri}@{found[0]['imageDigest']}"

    def train(self, image: str, program: str = "", **more: Any) -> str:
        """Start a training job whose container runs *program*; return its name."""
        name = f"j{uuid.uuid4().hex[:8]}"
        environment = {"TRAIN": program, **more.pop("Environment", {})}
        self.client("sagemaker").create_training_job(
            **{
                "TrainingJobName": name,
                "AlgorithmSpecification": {
                    "TrainingImage": image, "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
                },
                "RoleArn": self.role,
                "OutputDataConfig": {"S3OutputPath": "s3://data/out"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                "StoppingCondition": {"MaxRuntimeInSeconds": 120},
                "Environment": environment,
                **more,
            }
        )  # fmt: skip
        return name

    def trained(self, name: str) -> dict[str, Any]:
        return self.until(
            lambda: self.client("sagemaker").describe_training_job(TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] not in ("InProgress", "Stopping"),
        )

    def model(self, job: str) -> dict[str, bytes]:
        """The files of the model that a job left in S3."""
        body = self.get(f"out/{job}/output/model.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            return {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}

    def get(self, key: str) -> bytes:
        with contextlib.closing(self.client("s3").get_object(Bucket="data", Key=key)["Body"]) as body:
            return bytes(body.read())

    def config(
        self, image: str, program: str = "", model: Mapping[str, str] | None = None, **more: Any
    ) -> str:
        """Make a model and a configuration of an endpoint; return their name."""
        sagemaker, name = self.client("sagemaker"), f"c{uuid.uuid4().hex[:8]}"
        container: dict[str, Any] = {
            "Image": image,
            "Environment": {"SERVE": program, **more.pop("Environment", {})},
        }
        if model:
            self.client("s3").put_object(Bucket="data", Key=f"{name}.tar.gz", Body=packed(model))
            container["ModelDataUrl"] = f"s3://data/{name}.tar.gz"
        isolated = more.pop("EnableNetworkIsolation", False)
        sagemaker.create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn=more.pop("role", self.role),
            EnableNetworkIsolation=isolated,
        )  # fmt: skip
        variant = {
            "VariantName": "main", "ModelName": name, "InitialInstanceCount": 1,
            "InstanceType": more.pop("instance", "ml.m5.large"),
        }  # fmt: skip
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)
        return name

    def serve(self, config: str) -> str:
        """Create an endpoint; return its name."""
        name = f"e{uuid.uuid4().hex[:8]}"
        self.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=config)
        return name

    def clear(self) -> None:
        """Delete the endpoints that a test leaves: the next one has the machine for itself."""
        sagemaker = self.client("sagemaker")
        for each in sagemaker.list_endpoints()["Endpoints"]:
            if each["EndpointStatus"] != "Deleting":
                sagemaker.delete_endpoint(EndpointName=each["EndpointName"])
        self.until(lambda: sagemaker.list_endpoints()["Endpoints"], lambda rows: not rows)

    def settled(self, name: str) -> dict[str, Any]:
        return self.until(
            lambda: self.client("sagemaker").describe_endpoint(EndpointName=name),
            lambda seen: seen["EndpointStatus"] in ("InService", "Failed"),
        )

    def ask(self, name: str, body: bytes = b"hello") -> bytes:
        runtime = self.client("sagemaker-runtime")
        with contextlib.closing(runtime.invoke_endpoint(EndpointName=name, Body=body)["Body"]) as answer:
            return bytes(answer.read())

    def crash(self, name: str) -> None:
        """End the container of an endpoint that serves by DIES_WHEN_TOLD; return when that was noticed."""
        with pytest.raises(ClientError):
            self.ask(name, DIE)
        self.until(
            lambda: self.log(f"/aws/sagemaker/Endpoints/{name}"), lambda seen: any(map(is_crash, seen))
        )

    def answered(self, name: str, body: bytes = b"hello") -> bytes:
        """Ask until there is an answer."""

        def look() -> bytes | str:
            try:
                return self.ask(name, body)
            except ClientError as error:
                return str(error)

        return self.until(look, lambda seen: isinstance(seen, bytes))

    def log(self, group: str) -> list[str]:
        """All lines of a log group, or none while there is none."""
        logs = self.client("logs")
        try:
            streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [
            event["message"]
            for stream in streams
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]

    def until(self, look: Callable[[], Any], is_so: Callable[[Any], bool], patience: float = 90) -> Any:
        deadline = time.monotonic() + patience
        while not is_so(seen := look()):
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)
        return seen


def is_crash(line: str) -> bool:
    return line.startswith("[atelier] the container exited with code 7; it is started again in")


def context(files: Mapping[str, str | bytes]) -> io.BytesIO:
    """A build's context as the engine takes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, files)
    buffer.seek(0)
    return buffer


def packed(files: Mapping[str, str]) -> bytes:
    """A model as SageMaker takes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        _add(archive, files)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        body = content.encode() if isinstance(content, str) else content
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(body), 0o755
        archive.addfile(entry, io.BytesIO(body))
