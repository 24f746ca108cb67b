"""Who may call: one administrator, verified signatures, nothing anonymous but what AWS serves anonymously."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from atelier.cloud.context import Credentials
from atelier.cloud.gateway.hooks import state
from atelier.cloud.gateway.hooks.private import replace, use

SESSION_SECONDS = 12 * 3600

# What a bucket's own grants may open to anybody; ministack asks them whenever the bucket exists.
BY_GRANT = frozenset(
    {
        *("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"),
        *("s3:ListBucket", "s3:ListBucketVersions"),
    }
)

# Who calls these is known by what the call itself brings: an API's authoriser asks, or a token says.
BY_THEIR_OWN = frozenset({"execute-api:Invoke", "sts:AssumeRoleWithWebIdentity"})


def install(administrator: tuple[str, str], account: str, scopes: Iterable[str]) -> None:
    """Close the ways in that ministack leaves open; *scopes* are of services that check calls themselves."""
    _only_one_root(administrator, account)
    replace("app", "pin_request_origin", "source_ip", "secure_transport", by=_loopback_is_secure)
    replace(
        "core.iam_evaluator",
        "enforce",
        *("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"),
        by=_anonymous_where_aws_is,
    )
    replace("core.iam_evaluator", "_principal_matches", "principal", "caller_arn", by=_root_is_no_service)
    replace("core.lambda_runtime", "execution_credentials", "config", by=_random_function_credentials)
    replace("services.lambda_svc", "execution_credentials", "config", by=_random_function_credentials)
    namespaces = use("core.iam_actions", "SERVICE_TO_IAM_NAMESPACE", checked=False)
    for scope in scopes:
        namespaces.pop(scope, None)


def register(
    arn: str, user_id: str, *, seconds: float | None = SESSION_SECONDS, **details: Any
) -> Credentials:
    """Return random credentials of a new session that acts as *arn*."""
    letters = string.ascii_uppercase + "234567"
    credentials = Credentials(
        "ASIA" + "".join(secrets.choice(letters) for _ in range(16)),
        secrets.token_urlsafe(30),
        secrets.token_urlsafe(120),
    )
    session: dict[str, Any] = {
        "Arn": arn,
        "UserId": user_id,
        "SecretAccessKey": credentials.secret_key,
        "SessionToken": credentials.token,
        "PrincipalType": "AssumedRole",
        **details,
    }
    if seconds is not None:
        session["Expiration"] = time.time() + seconds
    use("services.sts", "register_session", "access_key", "session")(credentials.access_key, session)
    state.changed("sts")
    return credentials


def _only_one_root(administrator: tuple[str, str], account: str) -> None:
    """Make the administrator a registered key like any other, and no key root by its looks."""
    key, secret = administrator
    sessions = use("services.sts", "_sessions", checked=False)
    sessions[key] = {
        "Arn": f"arn:aws:iam::{account}:root",
        "UserId": account,
        "SecretAccessKey": secret,
        "AccountId": account,
        "PrincipalType": "Root",
    }
    for module in ("core.iam_evaluator", "services.sts"):
        replace(module, "is_root_access_key", "access_key_id", by=_never)
    replace("core.iam_evaluator", "_is_root_key", "access_key_id", by=_never)


def _never(_original: object) -> Callable[[str], bool]:
    return lambda access_key_id: False


def _loopback_is_secure(original: Callable[[str, bool], None]) -> Callable[[str, bool], None]:
    """Let ``aws:SecureTransport`` hold: nothing leaves this machine."""
    return lambda source_ip, secure_transport: original(source_ip, True)


def _anonymous_where_aws_is(original: Callable[..., Any]) -> Callable[..., Any]:
    """Leave unsigned calls to S3's own grants and to an API's own authorisation, as AWS does.

    ministack let them through as root.
    """
    unsigned_request = use("core.iam_evaluator", "_signed_request", checked=False)
    anonymous = use("core.iam_evaluator", "_anonymous", checked=False)
    denied = use("core.iam_evaluator", "EvalResult", checked=False)

    def enforce(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        if not access_key_id and unsigned_request.get() is None:
            if iam_action in BY_THEIR_OWN:
                return None
            if service == "s3" and anonymous.get():
                return None if iam_action in BY_GRANT else denied("ImplicitDeny", "anonymous")
        return original(
            access_key_id,
            iam_action,
            service,
            region,
            resource_arn=resource_arn,
            service_context=service_context,
        )

    return enforce


def _root_is_no_service(original: Callable[[Any, str], bool]) -> Callable[[Any, str], bool]:
    """Keep the administrator from assuming a role that trusts only a service."""

    def matches(principal: Any, caller_arn: str) -> bool:
        if isinstance(principal, dict):
            principal = {kind: names for kind, names in principal.items() if kind != "Service"}
        return original(principal, caller_arn)

    return matches


def _random_function_credentials(_original: object) -> Callable[[Mapping[str, Any]], dict[str, str]]:
    """Give every function environment credentials that cannot be computed from its ARN."""

    def execution_credentials(config: Mapping[str, Any]) -> dict[str, str]:
        role, name = config.get("Role", ""), config.get("FunctionName", "function")[:64]
        account, role_name = role.split(":")[4], role.rsplit("/", 1)[-1]
        arn = f"arn:aws:sts::{account}:assumed-role/{role_name}/{name}"
        # A warm environment lives as long as the server: its session does too.
        return register(arn, f"{role_name}:{name}", seconds=None).environment()

    return execution_credentials
