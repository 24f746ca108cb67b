"""AssumeRoleWithWebIdentity: credentials of a role for a token that its trust policy accepts."""

from __future__ import annotations

import asyncio
import contextvars
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

from atelier.cloud.context import Credentials
from atelier.cloud.gateway.hooks import policies
from atelier.cloud.gateway.hooks.federation import issuers, providers, tokens
from atelier.cloud.gateway.hooks.federation.operations import text
from atelier.cloud.gateway.hooks.federation.rejected import Rejected, element, written
from atelier.cloud.gateway.hooks.private import replace, use
from atelier.cloud.gateway.hooks.server import Answer

STS = "services.sts"
OPERATION = "AssumeRoleWithWebIdentity"
PRETENDED = frozenset({"GetWebIdentityToken"})
ROLE = re.compile(r"arn:aws:iam::(\d{12}):role/([\w+=,.@/-]+)")
SESSION = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
SHORTEST, LONGEST, USUAL = 900, 43_200, 3_600
LONGEST_TOKEN = 20_000

Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Answer]]

AT_ONCE = 8
WAITING = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="web-identity")
"""Where exchanges wait for issuers: one that does not answer holds up other exchanges at most."""


def install(region: str) -> None:
    """Exchange tokens that are verified, where ministack believes every one."""
    use(STS, "_session_policies", "params", "account_id", "check")
    names = ("method", "path", "headers", "body", "query_params")
    replace(STS, "handle_request", *names, by=lambda original: _answering(original, region))


def _answering(original: Handler, region: str) -> Handler:
    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Answer:
        said = parse_qs(body.decode("utf-8", errors="replace"))
        actions = {*_all(query_params, "Action"), *_all(said, "Action")}
        actions |= {headers.get("x-amz-target", "").rpartition(".")[2]} - {""}
        if refused := _refusal(actions):
            return refused.answer("sts")
        if OPERATION not in actions:
            return await original(method, path, headers, body, query_params)
        parameters = {**query_params, **said}
        context, loop = contextvars.copy_context(), asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(WAITING, context.run, exchange, parameters, region)
        except Rejected as rejected:
            return rejected.answer("sts")

    return handle


def _refusal(actions: Collection[str]) -> Rejected | None:
    """Refuse what ministack only pretends, and a request that comes in by one action and means another."""
    if pretended := sorted(PRETENDED.intersection(actions)):
        return Rejected("UnsupportedOperation", f"{pretended[0]} is not part of the local cloud")
    if OPERATION in actions and len(actions) > 1:
        return Rejected(
            "ValidationError", f"a request names one Action, and not {', '.join(sorted(actions))}"
        )
    return None


def exchange(parameters: Mapping[str, Any], region: str) -> Answer:
    """Return the credentials of the role that is asked for, or raise Rejected."""
    role, account, session = _asked(parameters)
    seconds = _seconds(parameters)
    token = _token(parameters)
    header, said = tokens.unverified(token)
    provider = providers.issued(account, str(said.get("iss", "")))
    keys = issuers.keys(provider["Url"], provider["ThumbprintList"])
    claims = tokens.verified(token, header["kid"], issuer=provider["Url"], keys=keys)
    audience = tokens.audience(claims, provider["ClientIDList"])
    conditions = tokens.condition_keys(claims, audience, providers.name(provider["Url"]))
    conditions["sts:RoleSessionName"] = session
    if not policies.trusts_token(role, provider["Arn"], conditions, region):
        raise Rejected("AccessDenied", f"Not authorized to perform sts:{OPERATION}", 403)
    if seconds > policies.longest_session(role):
        raise Rejected(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    made = policies.assume_for(role, session, _narrowed(parameters, account), seconds)
    return _result(
        made, role, session, seconds, provider=claims["iss"], subject=claims["sub"], audience=audience
    )


def _all(parameters: Mapping[str, Any], name: str) -> list[str]:
    value = parameters.get(name) or []
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _first(parameters: Mapping[str, Any], name: str) -> str:
    return next(iter(_all(parameters, name)), "")


def _asked(parameters: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the role, its account and the session's name."""
    role, session = text(parameters, "RoleArn"), text(parameters, "RoleSessionName")
    if not (match := ROLE.fullmatch(role)):
        raise Rejected("ValidationError", f"Invalid RoleArn: {role}")
    if not SESSION.fullmatch(session):
        raise Rejected(
            "ValidationError", f"RoleSessionName {session!r} is not 2 to 64 letters, digits or _+=,.@-"
        )
    if _first(parameters, "ProviderId"):
        raise Rejected("ValidationError", "ProviderId is for OAuth 2.0, which is not part of the local cloud")
    return role, match[1], session


def _seconds(parameters: Mapping[str, Any]) -> int:
    asked = _first(parameters, "DurationSeconds") or str(USUAL)
    if not asked.isdecimal() or not SHORTEST <= int(asked) <= LONGEST:
        raise Rejected("ValidationError", f"DurationSeconds is {SHORTEST} to {LONGEST}, and not {asked}")
    return int(asked)


def _token(parameters: Mapping[str, Any]) -> str:
    token = text(parameters, "WebIdentityToken")
    if len(token) > LONGEST_TOKEN:
        raise Rejected("ValidationError", f"WebIdentityToken has more than {LONGEST_TOKEN} characters")
    return token


def _narrowed(parameters: Mapping[str, Any], account: str) -> dict[str, Any] | None:
    """Return the policies that the caller narrows the session by."""
    found, refused = use(STS, "_session_policies", checked=False)(parameters, account)
    if refused:
        raise Rejected("ValidationError", "Policy or PolicyArns cannot be used as a session policy")
    return dict(found) if any(found.values()) else None


def _result(
    made: Credentials, role: str, session: str, seconds: int, *, provider: str, subject: str, audience: str
) -> Answer:
    account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    credentials = (
        element("AccessKeyId", made.access_key)
        + element("SecretAccessKey", made.secret_key)
        + element("SessionToken", made.token)
        + element("Expiration", ends)
    )
    user = element("AssumedRoleId", f"{policies.role_id(role)}:{session}") + element(
        "Arn", f"arn:aws:sts::{account}:assumed-role/{name}/{session}"
    )
    return written(
        "sts",
        OPERATION,
        f"<Credentials>{credentials}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>"
        + element("SubjectFromWebIdentityToken", subject)
        + element("Audience", audience)
        + element("Provider", provider),
    )
