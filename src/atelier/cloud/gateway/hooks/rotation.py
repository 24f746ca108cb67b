"""Rotation of secrets: the four steps of the secret's function, where ministack copies the old value."""

from __future__ import annotations

import contextvars
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks import bus, policies, schedule, state
from atelier.cloud.gateway.hooks.private import replace, use

SECRETS, LAMBDA = "services.secretsmanager", "services.lambda_svc"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
PENDING, PRINCIPAL = "AWSPENDING", "secretsmanager.amazonaws.com"

EVERY = 5.0

logger = logging.getLogger("atelier.cloud.secrets")

Answer = tuple[int, dict[str, str], bytes]


def install(region: str, account: str) -> None:
    """Rotate for real."""
    use(SECRETS, "_resolve", "secret_id", "use_arn_scope")
    use(LAMBDA, "_get_func_record_for_ref_in_scope", "function_ref", "account_id", "region")
    use(LAMBDA, "_execution_record_for_config", "func", "config")
    use(LAMBDA, "_execute_function_with_config_scope", "func", "event")
    use(SECRETS, "_secrets", checked=False)
    replace(SECRETS, "_rotate_secret", "data", by=lambda original: _rotating(original, region, account))
    threading.Thread(target=_watch, args=(region, account), daemon=True, name="rotation-clock").start()


def _watch(region: str, account: str) -> None:
    """Rotate by the clock what asks for it."""
    while True:
        time.sleep(EVERY)
        try:
            with bus.scope(account, region):
                secrets = list(use(SECRETS, "_secrets", checked=False).values())
                for each in schedule.due(secrets, time.time()):
                    state.changed("secretsmanager")
                    _begin(each, str(uuid.uuid4()), region, account)
        except Exception:  # a thread that ends would end rotation for good
            logger.exception("what is due for rotation is looked for again")


def _rotating(
    original: Callable[[Mapping[str, Any]], Answer], region: str, account: str
) -> Callable[[Mapping[str, Any]], Answer]:
    refuse = use("core.responses", "error_response_json", checked=False)
    respond = use("core.responses", "json_response", checked=False)

    def rotate(data: Mapping[str, Any]) -> Any:
        _, secret = use(SECRETS, "_resolve", checked=False)(data.get("SecretId"))
        if not secret or secret.get("DeletedDate") or secret.get("_PrimarySecretArn"):
            return original(data)  # it knows the words for these
        rules = data.get("RotationRules") or secret.get("RotationRules")
        try:
            schedule.seconds(rules)
        except Refused as refused:
            return refuse("InvalidParameterException", str(refused), 400)
        function = data.get("RotationLambdaARN") or secret.get("RotationLambdaARN")
        if reason := _refusal(function, secret["ARN"], region):
            return refuse("InvalidRequestException", reason, 400)
        secret |= {"RotationLambdaARN": function, "RotationEnabled": True, "RotationRules": rules}
        schedule.begin(secret, time.time())
        state.changed("secretsmanager")
        named = {"ARN": secret["ARN"], "Name": secret["Name"]}
        if str(data.get("RotateImmediately", True)).lower() != "true":
            return respond(named)
        version = str(data.get("ClientRequestToken") or uuid.uuid4())
        _begin(secret, version, region, account)
        return respond({**named, "VersionId": version})

    return rotate


def _begin(secret: dict[str, Any], version: str, region: str, account: str) -> None:
    for each in secret["Versions"].values():
        each["Stages"] = [stage for stage in each["Stages"] if stage != PENDING]
    secret["Versions"].setdefault(version, _empty())["Stages"].append(PENDING)
    _spawn(secret, version, region, account)


def _empty() -> dict[str, Any]:
    return {"SecretString": None, "SecretBinary": None, "CreatedDate": int(time.time()), "Stages": []}


def _refusal(function: str | None, secret: str, region: str) -> str | None:
    if not function:
        return "No Lambda rotation function ARN is associated with this secret."
    if policies.allows_service(PRINCIPAL, "lambda:InvokeFunction", function, region, secret):
        return None
    return f"Secrets Manager cannot invoke the specified Lambda function {function}."


def _spawn(secret: dict[str, Any], version: str, region: str, account: str) -> None:
    """Take the steps in a thread of their own: the function calls this very service."""
    arguments = (secret, version, region, account)
    work = contextvars.copy_context()
    threading.Thread(target=work.run, args=(_take, *arguments), daemon=True, name="rotation").start()


def _take(secret: dict[str, Any], version: str, region: str, account: str) -> None:
    for step in STEPS:
        event = {"Step": step, "SecretId": secret["ARN"], "ClientRequestToken": version}
        if failure := _call(secret["RotationLambdaARN"], event, region, account):
            logger.warning("rotation of %s ended at %s: %s", secret["ARN"], step, failure)
            return
    kept = secret["Versions"].get(version)
    if kept:
        kept["Stages"] = [stage for stage in kept["Stages"] if stage != PENDING]
    state.changed("secretsmanager")


def _call(function: str, event: Mapping[str, str], region: str, account: str) -> str | None:
    """Call the function; return why that failed."""
    find = use(LAMBDA, "_get_func_record_for_ref_in_scope", checked=False)
    record, config, _ = find(function, account_id=account, region=region)
    if record is None:
        return "there is no such function"
    prepared = use(LAMBDA, "_execution_record_for_config", checked=False)(record, config)
    answer = use(LAMBDA, "_execute_function_with_config_scope", checked=False)(prepared, dict(event))
    return json.dumps(answer.get("body"), default=str) if answer.get("error") else None
