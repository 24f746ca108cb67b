"""Fixtures that start the real local cloud."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from docker_machine import (  # noqa: F401 - hooks: what needs Docker is left out where there is none
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_terminal_summary,
    pytest_testnodedown,
)
from stacks import Stacks

from atelier.cloud.gateway import launch

os.environ["ATELIER_ENGINE"] = "process"  # whatever answers here: a test that means Docker says so


@dataclass
class RunningCloud:
    """A started local cloud, seen by its administrator."""

    home: Path
    connection: launch.Connection
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return self.connection.endpoint

    def client(self, service: str) -> Any:
        """The administrator's client of a service."""
        if service not in self._clients:
            key = (self.connection.access_key, self.connection.secret_key)
            self._clients[service] = self.client_as(service, *key)
        return self._clients[service]

    def client_as(self, service: str, key: str, secret: str, token: str | None = None) -> Any:
        """A client that signs with any given key."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.connection.region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"max_attempts": 0}, inject_host_prefix=False),
        )


def start_cloud(home: Path, engine: str = "process") -> RunningCloud:
    return RunningCloud(home, launch.start(home, engine=engine))


@pytest.fixture(scope="session")
def cloud() -> Iterator[RunningCloud]:
    """One local cloud for the whole run: tests name what they make by themselves."""
    home = Path(tempfile.mkdtemp(prefix="atelier-"))
    try:
        yield start_cloud(home)
    finally:
        launch.stop(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def deploy(cloud: RunningCloud, unique: str) -> Iterator[Stacks]:
    """Create, update and finally delete one stack: ``deploy(resources, outputs)``."""
    stacks = Stacks(cloud.client("cloudformation"), unique)
    yield stacks
    if stacks.made:
        stacks.delete()


RoleMaker = Callable[..., str]


@pytest.fixture
def role() -> RoleMaker:
    """Make a role: ``role(cloud, [statement, ...], "codebuild.amazonaws.com")`` returns its ARN."""

    def make(cloud: RunningCloud, statements: list[dict[str, Any]], service: str | dict[str, Any]) -> str:
        iam, name = cloud.client("iam"), f"r{uuid.uuid4().hex[:12]}"
        principal = {"Service": service} if isinstance(service, str) else service
        trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=policy)
        return str(arn)

    return make
