"""ministack's IAM, asked by our services: principals, their policies, roles and whom they trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Caller, Credentials, InstanceProfile
from atelier.cloud.gateway.hooks import access
from atelier.cloud.gateway.hooks.private import use

EVALUATOR = "core.iam_evaluator"
SERVED_SECONDS = 900.0


def install() -> None:
    """Check what this module builds on."""
    for name, parameters in (
        ("resolve_principal", ("access_key_id", "account_id", "credential")),
        ("evaluate", ("ctx", "policies", "limits")),
        ("evaluate_resource_policy", ("doc", "ctx", "service", "named_only", "direct_only")),
        ("_gather_role_policies", ("role_name", "account_id")),
        ("_gather_user_policies", ("user_name", "account_id")),
        ("_permissions_boundary", ("store", "name", "account_id")),
        ("_resource_policy", ("service", "resource_arn")),
        ("evaluate_trust_policy", ("trust_doc", "caller_arn", "ctx")),
    ):
        use(EVALUATOR, name, *parameters)
    for name in ("_roles", "_users", "_instance_profiles"):
        use("services.iam", name, checked=False)


def principal(access_key: str, account: str) -> Caller | None:
    """Return who a key stands for, or None when there is no such key."""
    found = use(EVALUATOR, "resolve_principal", checked=False)(access_key, account)
    if not hasattr(found, "policies"):
        return None
    return Caller(found.arn, _role_of(found.arn))


def allows_key(
    access_key: str, account: str, action: str, resource: str, region: str, **request: str
) -> bool:
    """Say whether the policies behind *access_key*, narrowed by its session, allow the action."""
    found = use(EVALUATOR, "resolve_principal", checked=False)(access_key, account)
    if not hasattr(found, "policies"):
        return False
    if found.policies is None:
        return True
    context = _context(
        found.arn, found.type, account, action, resource, region, service=request, keys=found.keys
    )
    return _decide(context, found.policies, found.limits)


def allows_role(role_arn: str, action: str, resource: str, region: str, **service_context: Any) -> bool:
    """Say whether a role's policies within its boundary allow the action."""
    account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    stores = use("services.iam", "_roles", checked=False)
    policies = use(EVALUATOR, "_gather_role_policies", checked=False)(name, account)
    limits = use(EVALUATOR, "_permissions_boundary", checked=False)(stores, name, account)
    arn = f"arn:aws:sts::{account}:assumed-role/{name}/service"
    context = _context(arn, "AssumedRole", account, action, resource, region, service=service_context)
    return _decide(context, policies, limits)


def allows_user(user_arn: str, action: str, resource: str, region: str, **request: str) -> bool:
    """Say whether a user's policies within the boundary allow the action."""
    account, name = user_arn.split(":")[4], user_arn.rsplit("/", 1)[-1]
    stores = use("services.iam", "_users", checked=False)
    policies = use(EVALUATOR, "_gather_user_policies", checked=False)(name, account)
    limits = use(EVALUATOR, "_permissions_boundary", checked=False)(stores, name, account)
    context = _context(user_arn, "User", account, action, resource, region, service=request)
    return _decide(context, policies, limits)


def allows_service(service: str, action: str, resource: str, region: str, source_arn: str) -> bool:
    """Say whether the policy of *resource* lets the AWS service *service* do this for *source_arn*."""
    account = source_arn.split(":")[4]
    found = use(EVALUATOR, "_resource_policy", checked=False)(resource.split(":")[2], resource)
    if not found or not found[0]:
        return False
    where = {"aws:sourcearn": source_arn, "aws:sourceaccount": account}
    context = _context("", "Service", account, action, resource, region, service=where)
    return _by_resource_policy(found[0], context, service)


def role_exists(role_arn: str) -> bool:
    """Say whether there is such a role."""
    return _role(role_arn) is not None


def profile(name: str) -> InstanceProfile | None:
    """Return the instance profile of a name or an ARN."""
    profiles = use("services.iam", "_instance_profiles", checked=False)
    for each in profiles.values():
        if name in (each["InstanceProfileName"], each["Arn"]):
            role = next(iter(each["Roles"]), None)
            found = use("services.iam", "_roles", checked=False).get(role) if role else None
            return InstanceProfile(each["Arn"], each["InstanceProfileId"], found and str(found["Arn"]))
    return None


def trusts(role_arn: str, service: str, region: str) -> bool:
    """Say whether the role may be assumed by *service* (``codebuild.amazonaws.com``)."""
    role, account = _role(role_arn), role_arn.split(":")[4]
    if role is None:
        return False
    where = {"aws:sourceaccount": account}
    context = _context("", "Service", account, "sts:AssumeRole", "*", region, service=where)
    return _by_resource_policy(role.get("AssumeRolePolicyDocument"), context, service)


def trusts_token(role_arn: str, provider_arn: str, keys: Mapping[str, Any], region: str) -> bool:
    """Say whether a web identity of the provider, with these condition keys, may take the role."""
    role, account = _role(role_arn), role_arn.split(":")[4]
    if role is None:
        return False
    context = _context(
        provider_arn,
        "WebIdentityUser",
        account,
        "sts:AssumeRoleWithWebIdentity",
        role_arn,
        region,
        service=dict(keys),
    )
    evaluate = use(EVALUATOR, "evaluate_trust_policy", checked=False)
    return bool(evaluate(role.get("AssumeRolePolicyDocument") or {}, provider_arn, context))


def longest_session(role_arn: str) -> int:
    """Return the seconds for which the role may be taken."""
    return int((_role(role_arn) or {}).get("MaxSessionDuration") or 3600)


def role_id(role_arn: str) -> str:
    """Return the unique id of a role."""
    return str((_role(role_arn) or {}).get("RoleId") or role_arn.rsplit("/", 1)[-1])


def assume(role_arn: str, session: str, policy: Mapping[str, Any] | None = None) -> Credentials:
    """Return credentials of a new session of an existing role, narrowed to *policy*."""
    narrowed = None if policy is None else {"Policy": json.dumps(policy), "PolicyArns": []}
    return assume_for(role_arn, session, narrowed, access.SESSION_SECONDS)


def assume_for(
    role_arn: str, session: str, narrowed: Mapping[str, Any] | None, seconds: float
) -> Credentials:
    """Return credentials of a new session that ends, narrowed to a policy and managed policies."""
    account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    arn = f"arn:aws:sts::{account}:assumed-role/{name}/{session}"
    details: dict[str, Any] = {"AccountId": account}
    if narrowed is not None:
        details["SessionPolicies"] = dict(narrowed)
    return access.register(arn, f"{role_id(role_arn)}:{session}", seconds=seconds, **details)


def serve(service: str, action: str, resource: str, account: str) -> Credentials:
    """Return credentials of a service that may do one thing to one resource, and nothing else."""
    name = service.partition(".amazonaws.com")[0].replace(".", "-")[:32]
    allowed = {"Effect": "Allow", "Action": action, "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    return access.register(
        f"arn:aws:sts::{account}:federated-user/{name}",
        f"{account}:{name}",
        seconds=SERVED_SECONDS,
        AccountId=account,
        PrincipalType="FederatedUser",
        SessionPolicies={"Policy": policy, "PolicyArns": []},
    )


def _role(role_arn: str) -> Any:
    parts = role_arn.split(":")
    if len(parts) != 6 or not parts[5].startswith("role/"):
        return None
    role = use("services.iam", "_roles", checked=False).get_scoped(
        parts[4], None, parts[5].rsplit("/", 1)[-1]
    )
    return role if role and role.get("Arn") == role_arn else None


def _role_of(arn: str) -> str | None:
    """Return the ARN of the role behind an assumed one, path and all."""
    kind, _, rest = arn.partition(":assumed-role/")
    if not rest:
        return None
    account, name = kind.rsplit(":", 1)[-1], rest.split("/")[0]
    role = use("services.iam", "_roles", checked=False).get_scoped(account, None, name) or {}
    return str(role.get("Arn") or f"arn:aws:iam::{account}:role/{name}")


def _context(
    arn: str,
    kind: str,
    account: str,
    action: str,
    resource: str,
    region: str,
    *,
    service: dict[str, Any] | None = None,
    keys: dict[str, Any] | None = None,
) -> Any:
    return use(EVALUATOR, "EvalContext", checked=False)(
        principal_arn=arn,
        principal_type=kind,
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=region,
        source_ip="127.0.0.1",
        secure_transport=True,
        service_context={key.lower(): value for key, value in (service or {}).items()},
        principal_keys=keys or {},
    )


def _decide(context: Any, policies: Any, limits: Any) -> bool:
    return bool(use(EVALUATOR, "evaluate", checked=False)(context, policies, *limits).decision == "Allow")


def _by_resource_policy(document: Any, context: Any, service: str) -> bool:
    evaluate = use(EVALUATOR, "evaluate_resource_policy", checked=False)
    return bool(evaluate(document, context, service=service).decision == "Allow")
