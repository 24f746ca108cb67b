"""Providers of OpenID Connect: which issuers an account knows, and for whom their tokens must be meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from atelier.cloud.gateway.hooks import state
from atelier.cloud.gateway.hooks.federation.rejected import Rejected
from atelier.cloud.gateway.hooks.private import use

LONGEST_TEXT = 255
MOST_CLIENTS, MOST_THUMBPRINTS, MOST_TAGS, MOST_PROVIDERS = 100, 5, 50, 100
THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?")
PATH = re.compile(r"(/[\w.~%-]+)*/?")

Record = dict[str, Any]


def create(
    account: str, url: str, clients: list[str], thumbprints: list[str], tags: Mapping[str, str]
) -> Record:
    """Let an account know an issuer."""
    _check_url(url)
    _check_clients(clients)
    _check_thumbprints(thumbprints)
    _check_tags(tags)
    arn = f"arn:aws:iam::{account}:oidc-provider/{name(url)}"
    records = _records()
    if arn in records:
        raise Rejected("EntityAlreadyExists", f"Provider with url {url} already exists.", 409)
    if len(records) >= MOST_PROVIDERS:
        raise Rejected(
            "LimitExceeded",
            f"Cannot exceed quota for OpenIdConnectProvidersPerAccount: {MOST_PROVIDERS}",
            409,
        )
    made: Record = {
        "Arn": arn,
        "Url": url,
        "ClientIDList": list(dict.fromkeys(clients)),
        "ThumbprintList": thumbprints,
        "CreateDate": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Tags": _listed(tags),
    }
    records[arn] = made
    state.changed("iam")
    return made


def change(
    arn: str,
    *,
    clients: list[str] | None = None,
    thumbprints: list[str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Set anew what is given."""
    record = get(arn)
    if clients is not None:
        _check_clients(clients)
    if thumbprints is not None:
        _check_thumbprints(thumbprints)
    if tags is not None:
        _check_tags(tags)
    changes = {
        "ClientIDList": None if clients is None else list(dict.fromkeys(clients)),
        "ThumbprintList": thumbprints,
        "Tags": None if tags is None else _listed(tags),
    }
    record |= {key: value for key, value in changes.items() if value is not None}
    state.changed("iam")


def get(arn: str) -> Record:
    """Return a provider; raise Rejected when there is none."""
    record: Record | None = _records().get(arn)
    if record is None:
        raise Rejected("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}", 404)
    return record


def arns() -> list[str]:
    """Return the account's providers."""
    return list(_records())


def delete(arn: str) -> None:
    """Forget a provider: its tokens are good for nothing from now on."""
    get(arn)
    del _records()[arn]
    state.changed("iam")


def issued(account: str, issuer: str) -> Record:
    """Return the provider of an *account* whose tokens say that they are of *issuer*."""
    arn = f"arn:aws:iam::{account}:oidc-provider/{name(issuer)}"
    record: Record | None = _records().get_scoped(account, None, arn)
    if record is None or record["Url"] != issuer:
        raise Rejected(
            "InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {issuer}"
        )
    return record


def name(url: str) -> str:
    """Return how ARNs and condition keys write an issuer's URL."""
    return url.removeprefix("https://").rstrip("/")


def tags_of(record: Record) -> dict[str, str]:
    """Return a provider's tags."""
    return {each["Key"]: each["Value"] for each in record["Tags"]}


def _records() -> Any:
    return use("services.iam", "_oidc_providers", checked=False)


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_plain = parts.scheme == "https" and parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:  # a bracket that is not closed, a port above all ports
        is_plain = False
    if not is_plain or not HOST.fullmatch(parts.netloc) or not PATH.fullmatch(parts.path):
        raise Rejected("InvalidInput", f"Invalid Open ID Connect Provider URL: {url}")
    if len(url) > LONGEST_TEXT:
        raise Rejected("InvalidInput", f"the URL has more than {LONGEST_TEXT} characters")


def _check_clients(clients: list[str]) -> None:
    if len(clients) > MOST_CLIENTS:
        raise Rejected(
            "LimitExceeded", f"Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {MOST_CLIENTS}", 409
        )
    for each in clients:
        if not 0 < len(each) <= LONGEST_TEXT:
            raise Rejected("InvalidInput", f"a client id has 1 to {LONGEST_TEXT} characters")


def _check_thumbprints(thumbprints: list[str]) -> None:
    if len(thumbprints) > MOST_THUMBPRINTS:
        raise Rejected(
            "InvalidInput", f"Thumbprint list must contain fewer than {MOST_THUMBPRINTS + 1} entries."
        )
    for each in thumbprints:
        if not THUMBPRINT.fullmatch(each):
            raise Rejected("InvalidInput", f"a thumbprint is 40 hexadecimal digits, and {each} is none")


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MOST_TAGS:
        raise Rejected("LimitExceeded", f"Cannot exceed quota for Tags: {MOST_TAGS}", 409)
