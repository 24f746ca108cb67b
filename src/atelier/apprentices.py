"""Small models for the fleet's demo: two that are really trained, and one that only looks like a model."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier.client import datasets
from atelier.client.errors import Problem
from atelier.client.outputs import output
from atelier.contract.events import DATA_PREFIX

if TYPE_CHECKING:
    from atelier.client.session import Clients

ROLE = "fleet-apprentice"
PLACE = "models/apprentices/"
SMALL: Mapping[str, str] = {
    "batch_size": "4",
    "context": "64",
    "layers": "2",
    "hidden": "64",
    "heads": "2",
    "vocab_size": "600",
    "learning_rate": "0.003",
    "evaluations": "1",
    "threads": "1",
}
"""Some seconds of arithmetic; the models differ in how long they learn."""

TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Apprentice:
    """A model by its name, and how many steps it learns."""

    name: str
    steps: int


@dataclass(frozen=True, kw_only=True)
class School:
    """What trains apprentices: the fleet's own image, in SageMaker's jobs."""

    clients: Clients
    prefix: str
    image: str
    sleep: Callable[[float], None] = time.sleep

    def train(self, apprentices: tuple[Apprentice, ...], folder: Path) -> dict[str, Path]:
        """Train them side by side, unless their archives are in *folder*; return those by name."""
        paths = {each.name: folder / f"{each.name}.tar.gz" for each in apprentices}
        missing = [each for each in apprentices if not paths[each.name].exists()]
        if missing:
            folder.mkdir(parents=True, exist_ok=True)
            bucket = output(self.clients, f"{self.prefix}-storage", "DataBucketName")
            data = datasets.upload_reference(self.clients, bucket).version
            role = self._role(bucket)
            try:
                jobs = {each.name: self._begin(each, role, bucket, data) for each in missing}
                for name, job in jobs.items():
                    self._fetch(self._finished(job), paths[name])
            finally:
                self._dismiss()
        return paths

    def _begin(self, apprentice: Apprentice, role: str, bucket: str, data: str) -> str:
        job = f"{self.prefix}-{apprentice.name}-{time.time_ns():x}"
        source: Any = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{DATA_PREFIX}{data}/"}
        self.clients.sagemaker.create_training_job(
            TrainingJobName=job,
            RoleArn=role,
            AlgorithmSpecification={"TrainingImage": self.image, "TrainingInputMode": "File"},
            HyperParameters={**SMALL, "steps": str(apprentice.steps)},
            InputDataConfig=[{"ChannelName": "training", "DataSource": {"S3DataSource": source}}],
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/{PLACE}"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 1800},
        )
        return job

    def _finished(self, job: str) -> str:
        """Wait for a job, and return where its model is."""
        while True:
            found = self.clients.sagemaker.describe_training_job(TrainingJobName=job)
            if found["TrainingJobStatus"] == "Completed":
                return found["ModelArtifacts"]["S3ModelArtifacts"]
            if found["TrainingJobStatus"] in {"Failed", "Stopped"}:
                raise Problem(
                    f"the training job {job} failed: {found.get('FailureReason', 'no reason given')}"
                )
            self.sleep(0.5)

    def _fetch(self, uri: str, path: Path) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        aside = path.with_suffix(".part")
        self.clients.s3.download_file(bucket, key, str(aside))
        aside.replace(path)

    def _role(self, bucket: str) -> str:
        """Make a role for the jobs alone; it is gone when they are."""
        name, whole = f"{self.prefix}-{ROLE}", f"arn:aws:s3:::{bucket}"
        self._dismiss()
        made = self.clients.iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(TRUST))
        pulling = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        logging = [
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "logs:DescribeLogStreams",
        ]
        registry, _, repository = self.image.partition("@")[0].partition("/")
        account, region = registry.split(".")[0], self.clients.region
        statements = [
            _allow(["s3:ListBucket"], whole),
            _allow(["s3:GetObject"], f"{whole}/{DATA_PREFIX}*"),
            _allow(["s3:PutObject"], f"{whole}/{PLACE}*"),
            _allow(["ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"], "*"),
            _allow(pulling, f"arn:aws:ecr:{region}:{account}:repository/{repository}"),
            _allow(logging, f"arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/TrainingJobs*"),
        ]
        self.clients.iam.put_role_policy(
            RoleName=name, PolicyName="Work", PolicyDocument=_document(*statements)
        )
        return made["Role"]["Arn"]

    def _dismiss(self) -> None:
        name, iam = f"{self.prefix}-{ROLE}", self.clients.iam
        try:
            for each in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=each)
            iam.delete_role(RoleName=name)
        except iam.exceptions.NoSuchEntityException:
            return


def _document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _allow(actions: list[str], *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def impostor(sound: Path, path: Path) -> Path:
    """Write an archive that is whole and has the right shapes, and weights that mean nothing."""
    with tarfile.open(sound, "r:gz") as source, tarfile.open(path, "w:gz") as target:
        for member in source:
            file = source.extractfile(member)
            body = file.read() if file else b""
            if member.name.removeprefix("./") == WEIGHTS:
                body = _shuffled(body)
                member.size = len(body)
            target.addfile(member, io.BytesIO(body))
    return path


def _shuffled(body: bytes) -> bytes:
    """Return weights of the same tensors, backwards: every number is one, and none is where it belongs."""
    start = 8 + int.from_bytes(body[:8], "little")
    numbers = memoryview(body[start:]).cast("I")
    return body[:start] + b"".join(each.to_bytes(4, "little") for each in reversed(numbers))
