"""File system policies: who may mount, write and be root, decided as IAM decides it."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from atelier.cloud.services.wire import ServiceError

Keys = Mapping[str, str]
"""What is known of a mount, by condition key in lower case."""

MOUNT, WRITE = "elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"

Test = Callable[[str | None, list[str]], bool]

TESTS: Mapping[str, Test] = {
    "Bool": lambda value, wanted: value is not None and value in [each.lower() for each in wanted],
    "Null": lambda value, wanted: str(value is None).lower() in [each.lower() for each in wanted],
    "StringEquals": lambda value, wanted: value in wanted,
    "StringNotEquals": lambda value, wanted: value not in wanted,
    "StringLike": lambda value, wanted: value is not None and _is_like(value, wanted),
    "StringNotLike": lambda value, wanted: value is None or not _is_like(value, wanted),
    "ArnEquals": lambda value, wanted: value is not None and _is_like(value, wanted),
    "ArnLike": lambda value, wanted: value is not None and _is_like(value, wanted),
}
KNOWN = {
    "aws:securetransport",
    "aws:principalarn",
    "elasticfilesystem:accesspointarn",
    "elasticfilesystem:accessedviamounttarget",
}


def _is_like(value: str, wanted: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(value, each) for each in wanted)


def parse(text: str) -> list[dict[str, Any]]:
    """Return a policy's statements; raise for one that EFS refuses, or that could not be decided here."""
    try:
        document = json.loads(text)
        statements = document["Statement"]
    except (ValueError, TypeError, KeyError) as error:
        raise invalid(f"it is no JSON document with a Statement: {error}") from error
    found = [statements] if isinstance(statements, dict) else statements
    for each in found if isinstance(found, list) else [found]:
        _check(each)
    return list(found)


def invalid(why: str) -> ServiceError:
    """Return EFS's answer to a policy that is not one."""
    return ServiceError("InvalidPolicyException", f"The policy is invalid: {why}")


def _check(statement: Any) -> None:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        raise invalid("a statement has the Effect Allow or Deny")
    if "Principal" not in statement or "Action" not in statement:
        raise invalid("a statement needs Principal and Action")
    if odd := sorted({"NotPrincipal", "NotAction", "NotResource"} & statement.keys()):
        raise invalid(f"{odd[0]} is not part of the local cloud")
    for operator, keys in (statement.get("Condition") or {}).items():
        if operator not in TESTS:
            raise invalid(f"the condition {operator} is not part of the local cloud")
        if odd := sorted(key for key in keys if key.lower() not in KNOWN):
            raise invalid(f"the condition key {odd[0]} is not part of the local cloud")


def decide(text: str, action: str, keys: Keys, resource: str) -> str | None:
    """Return Deny, Allow, or None where the policy says nothing."""
    said = {
        each["Effect"]
        for each in parse(text)
        if _is_like(action, _list(each["Action"]))
        and _is_like(resource, _list(each.get("Resource", "*")))
        and _names(each, keys.get("aws:principalarn"))
        and _holds(each.get("Condition") or {}, keys)
    }
    return "Deny" if "Deny" in said else "Allow" if "Allow" in said else None


def _names(statement: Mapping[str, Any], principal: str | None) -> bool:
    """Say whether a statement is about this principal; nobody in particular is among all.

    An account that is allowed hands the decision to the policies of its own roles; denied, all are.
    """
    given = statement["Principal"]
    names = _list(given) if isinstance(given, str) else _list(given.get("AWS", []))
    if "*" in names:
        return True
    account = ":".join(principal.split(":")[4:5]) if principal else None
    own = {principal}
    if statement["Effect"] == "Deny" and account:
        own |= {account, f"arn:aws:iam::{account}:root"}
    return bool(own & set(names))


def _holds(condition: Mapping[str, Any], keys: Keys) -> bool:
    return all(
        TESTS[operator](keys.get(key.lower()), [str(each) for each in _list(wanted)])
        for operator, tests in condition.items()
        for key, wanted in tests.items()
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
