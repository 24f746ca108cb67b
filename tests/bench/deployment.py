"""The middleware's functions in one process on a faked AWS, asked as API Gateway asks them."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest.mock import patch

import boto3
from botocore import signers
from botocore.client import BaseClient
from moto import mock_aws
from proxy_events import proxied
from tables import create

from atelier.contract import tables
from atelier.contract.operations import OPERATIONS
from atelier.lambdas.adapters.accounts import DynamoAccounts
from atelier.lambdas.adapters.checkpoints import DynamoCheckpoints
from atelier.lambdas.domain.accounts import DEFAULT_USER, EVERYTHING, Role, User
from atelier.lambdas.domain.checkpoints import Checkpoint, File

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
TOPIC = "arn:aws:sns:us-east-1:123456789012"
ROLE = "painter"
DREAM = "dream.safetensors"
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "t",
    "AWS_SECRET_ACCESS_KEY": "t",
    "ACCOUNTS_TABLE": "accounts",
    "RATES_TABLE": "rates",
    "USER_REQUESTS": "1000000",
    "ENDPOINTS_TABLE": "endpoints",
    "INFERENCES_TABLE": "inferences",
    "CHECKPOINTS_TABLE": "checkpoints",
    "WORK_TABLE": "work",
    "DATASETS_TABLE": "datasets",
    "WORK_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:work",
    "WORK_INSTANCE_TYPE": "ml.m5.xlarge",
    "BUCKET": "bucket",
    "DOWNLOADS_FUNCTION": "downloads",
    "ALLOW_PICKLED": "false",
    "ENDPOINT_ROLE_ARN": "arn:aws:iam::123456789012:role/endpoint",
    "ENDPOINT_IMAGE": f"{REGISTRY}/diffusion:1",
    "REGISTRY": REGISTRY,
    "SUCCESS_TOPIC_ARN": f"{TOPIC}:success",
    "ERROR_TOPIC_ARN": f"{TOPIC}:error",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}

UNKNOWN = frozenset({"StopTrainingJob"})
"""Calls that the faked AWS does not know; nothing comes of them, here."""


class Context:
    """What Lambda says of a call."""

    function_name = "f"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    aws_request_id = "r1"
    log_group_name = "/aws/lambda/f"
    log_stream_name = "s"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass
class Deployment:
    """Calls functions; knows of the last call what it asked of AWS and how long that took."""

    asked: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    own: float = 0.0
    """Of the last call, the seconds that were not AWS's."""

    def call(self, name: str, body: Any = None, query: Any = None, **path: str) -> Any:
        """Ask for an operation as the user `api`; return the data of a success."""
        operation = OPERATIONS[name]
        event = proxied(
            operation,
            authorizer={"principal": "deployment", "token": "t"},
            headers={"username": DEFAULT_USER},
            path=path,
            query={key: [str(each)] for key, each in (query or {}).items()},
            body=body,
        )
        handle = handler(operation.family).handle
        self.asked.clear()
        self.seconds, start = 0.0, time.thread_time()
        answer = handle(event, Context())
        self.own = time.thread_time() - start - self.seconds
        if not 200 <= answer["statusCode"] < 300:
            raise AssertionError(f"{name}: {answer['statusCode']} {answer['body']}")
        return json.loads(answer["body"] or "{}").get("data")

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return boto3's *call* as one that is counted and timed."""
        timed = self.timed(call)

        def counting(client: Any, name: str, given: Any) -> Any:
            self.asked[f"{client.meta.service_model.service_name}:{name}"] += 1
            return {} if name in UNKNOWN else timed(client, name, given)

        return counting

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return *call* as one whose seconds are boto3's."""

        def timing(*given: Any, **named: Any) -> Any:
            start = time.thread_time()
            try:
                return call(*given, **named)
            finally:
                self.seconds += time.thread_time() - start

        return timing


def handler(name: str) -> ModuleType:
    """Return the module of a family of functions."""
    return import_module(f"atelier.lambdas.handlers.{name}")


@contextmanager
def deployed() -> Iterator[Deployment]:
    """Furnish a faked AWS, and count and time what boto3 does: its calls, and the links that it signs."""
    os.environ |= ENVIRONMENT
    deployment = Deployment()
    with mock_aws():
        furnish()
        with (
            patch.object(BaseClient, "_make_api_call", deployment.counted(BaseClient._make_api_call)),
            patch.object(signers, "generate_presigned_url", deployment.timed(signers.generate_presigned_url)),
        ):
            yield deployment


def furnish() -> None:
    """Make the tables, the bucket, and the user `api` who may do everything."""
    dynamodb = boto3.client("dynamodb")
    for name, keys in {"accounts": ("pk", "sk"), "rates": ("pk",)}.items():
        kinds = zip(keys, ("HASH", "RANGE"), strict=False)
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": each, "KeyType": kind} for each, kind in kinds],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    for name in ("endpoints", "inferences", "checkpoints", "work", "datasets"):
        create(dynamodb, name, getattr(tables, name.upper()))
    boto3.client("s3").create_bucket(Bucket="bucket")
    boto3.client("stepfunctions").create_state_machine(
        name="work",
        roleArn="arn:aws:iam::123456789012:role/machine",
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
    )
    accounts = DynamoAccounts(dynamodb, "accounts")
    accounts.save_role(Role(name=ROLE, permissions=EVERYTHING, creator=DEFAULT_USER), was=None)
    accounts.save_user(User(name=DEFAULT_USER, roles=(ROLE,), creator=DEFAULT_USER), was=None)
    DynamoCheckpoints(dynamodb, "checkpoints", "bucket").add(
        Checkpoint(
            id="11111111-1111-4111-8111-111111111111",
            type="Stable-diffusion",
            creator=DEFAULT_USER,
            created="2030-01-01T12:00:00+00:00",
            status="Active",
            files=(File(name=DREAM, key=f"checkpoints/{DREAM}"),),
        )
    )
