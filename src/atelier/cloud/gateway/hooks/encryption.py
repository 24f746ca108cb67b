"""Secrets under a customer's key: whoever reads or writes one must be allowed to use the key.

Nothing is encrypted here, where all state lies in one user's files. What AWS refuses is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks import stacks
from atelier.cloud.gateway.hooks.private import replace, use

SECRETS, KMS, EVALUATOR = "services.secretsmanager", "services.kms", "core.iam_evaluator"
READ, WRITE = ("kms:Decrypt",), ("kms:GenerateDataKey", "kms:Decrypt")

Answer = tuple[int, dict[str, str], bytes]
Operation = Callable[[Mapping[str, Any]], Answer]


def install(region: str) -> None:
    """Put the checks before the operations on secrets' values."""
    use(KMS, "_resolve_key", "key_id_or_arn")
    use(KMS, "_check_key_state", "rec")
    enforce = ("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context")
    use(EVALUATOR, "enforce", *enforce)
    for name, actions in {
        **{"_get_secret_value": READ, "_put_secret_value": WRITE},
        **{"_create_secret": WRITE, "_update_secret": WRITE},
    }.items():
        replace(SECRETS, name, "data", by=partial(_keyed, actions=actions, region=region))


def existing(key: str) -> dict[str, Any]:
    """Return a key by its id, ARN or alias; refuse one that is not there."""
    found: dict[str, Any] | None = use(KMS, "_resolve_key", checked=False)(key)
    if found is None:
        raise Refused(f"there is no KMS key {key}")
    return found


def _keyed(original: Operation, *, actions: tuple[str, ...], region: str) -> Operation:
    refuse = use("core.responses", "error_response_json", checked=False)

    def operate(data: Mapping[str, Any]) -> Any:
        key = data.get("KmsKeyId") or _key_of(data.get("SecretId"))
        if not key:
            return original(data)
        try:
            record = existing(str(key))
        except Refused as refused:
            return refuse("ResourceNotFoundException", str(refused), 400)
        if unusable := use(KMS, "_check_key_state", checked=False)(record):
            return unusable
        context = {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}
        may = use(EVALUATOR, "enforce", checked=False)
        for action in actions:
            if may(stacks.signer(), action, "kms", region, record["Arn"], context):
                words = f"Access to KMS is not allowed: {action} on {record['Arn']}"
                return refuse("AccessDeniedException", words, 400)
        return original(data)

    return operate


def _key_of(secret: str | None) -> str | None:
    if not secret:
        return None
    _, found = use(SECRETS, "_resolve", checked=False)(secret)
    return found.get("KmsKeyId") if found else None
