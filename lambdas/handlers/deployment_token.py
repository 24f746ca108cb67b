"""The deployment's token: made by Secrets Manager, known to the API by its digest.

One function answers three callers: CloudFormation, whose custom resource makes what a deployment begins with;
EventBridge, which tells that the secret has another value; and Secrets Manager, when it rotates the secret.
"""

from __future__ import annotations

import json
import secrets
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import accounts as wiring
from atelier.lambdas.errors import Invalid, ServiceError
from atelier.lambdas.services.middleware import deployment, tokens

RESOURCE_ID = "deployment-token"
PATIENCE = 10
"""Seconds that CloudFormation may take to listen."""

logger = Logger()


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: Any) -> None:
    """Do what the caller is owed."""
    if "ResponseURL" in event:
        respond(event, attempt(event))
    elif "Step" in event:
        rotate(event)
    elif event.get("source") == "aws.secretsmanager":
        ports = wiring.deployment_token()
        deployment.synchronise(now=int(time.time()), secret=ports.secret, accounts=ports.accounts)
    else:
        raise Invalid("the event is not of CloudFormation, EventBridge or Secrets Manager")


def attempt(event: Mapping[str, Any]) -> str | None:
    """Do what CloudFormation asks; return why it failed, if it did.

    Nothing is undone on Delete: the accounts outlive the stack, and without them no token opens anything.
    """
    if event["RequestType"] == "Delete":
        return None
    try:
        ports = wiring.deployment_token()
        deployment.establish(now=int(time.time()), secret=ports.secret, accounts=ports.accounts)
    except ServiceError as error:
        logger.warning("refused", reason=str(error))
        return str(error)
    except Exception as error:  # the obligation: a stack that is not answered hangs for an hour
        logger.exception("unexpected error")
        return f"{type(error).__name__}, see the function's log"
    return None


def respond(event: Mapping[str, Any], failure: str | None) -> None:
    """Answer CloudFormation once; an answer that does not get through is raised, and Lambda calls again."""
    document = {
        "Status": "FAILED" if failure else "SUCCESS",
        "Reason": failure or "done",
        "PhysicalResourceId": event.get("PhysicalResourceId") or RESOURCE_ID,
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    request = urllib.request.Request(
        event["ResponseURL"],
        data=json.dumps(document).encode(),
        method="PUT",
        headers={"Content-Type": ""},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE):
        logger.info("answered", status=document["Status"])


def rotate(event: Mapping[str, Any]) -> None:
    """Take a step of a rotation, of the one secret that is ours."""
    ports = wiring.deployment_token()
    if event["SecretId"] != ports.secret_arn:
        raise Invalid("the secret is not the deployment's")
    deployment.rotate(
        event["Step"],
        event["ClientRequestToken"],
        now=int(time.time()),
        fresh=tokens.PREFIX + secrets.token_urlsafe(32),
        secret=ports.secret,
        accounts=ports.accounts,
    )
