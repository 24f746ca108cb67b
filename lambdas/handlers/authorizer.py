"""The authorizer says whose token it is that a request carries as x-api-key.

It answers for the whole stage, because API Gateway keeps the answer and gives it for other operations of the
same token too; whether a user may do what is asked is decided by the function that does it. API Gateway keeps
an answer for at most a minute (the template says how long), after which a revoked token opens nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import accounts as wiring
from atelier.lambdas.domain.accounts import Principal
from atelier.lambdas.services.middleware import access

HEADER = "x-api-key"

logger = Logger()


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Allow the stage to a token that is known; deny it to any other."""
    principal = access.identify(key(event), now=time.time(), accounts=wiring.authorizer())
    if principal is None:
        logger.info("unknown token")
        return answer("nobody", "Deny", event["methodArn"], {})
    logger.debug("known token", principal=principal.kind, token=principal.token)
    return answer(named(principal), "Allow", event["methodArn"], principal.context())


def key(event: Mapping[str, Any]) -> str:
    """Return the token of a request; the names of headers have no case."""
    headers = event.get("headers") or {}
    return next((str(value) for name, value in headers.items() if name.lower() == HEADER), "")


def named(principal: Principal) -> str:
    """Return a name for the access log; a user's cannot pass for the deployment's."""
    return f"user/{principal.user}" if principal.kind == "user" else principal.kind


def answer(principal: str, effect: str, method: str, context: Mapping[str, str]) -> dict[str, Any]:
    """Return a policy for the whole stage that a method belongs to."""
    api, stage = method.split("/")[:2]
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{api}/{stage}/*/*"}
    return {
        "principalId": principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": dict(context),
    }
