"""Web identity tokens: what one claims, and whether its issuer signed that for us and for now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import jwt

from atelier.cloud.gateway.hooks.federation.rejected import Rejected

ALGORITHM = "RS256"
SHORTEST_KEY = 2048
REQUIRED = ("iss", "sub", "aud", "exp", "iat")
STANDARD = ("sub", "email")
WORKFLOW = (
    *("actor", "actor_id", "enterprise_id", "environment", "job_workflow_ref", "ref"),
    *("repository", "repository_id", "workflow"),
)
TAGS = "https://aws.amazon.com/tags"

Claims = Mapping[str, Any]


def unverified(token: str) -> tuple[Mapping[str, Any], Claims]:
    """Return what a token says of itself: its header, and claims that nobody has checked yet."""
    try:
        read = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError) as error:
        raise _invalid(f"The ID Token provided is not a valid JWT: {error}") from error
    header: Mapping[str, Any] = read["header"]
    if header.get("alg") != ALGORITHM:
        raise _invalid(f"the token is signed with {header.get('alg')}, and only {ALGORITHM} is accepted")
    if not isinstance(header.get("kid"), str):
        raise _invalid("the token's header names no key (kid)")
    return header, read["payload"]


def verified(token: str, kid: str, *, issuer: str, keys: Iterable[Mapping[str, Any]]) -> Claims:
    """Return the claims of a token that the issuer's key *kid* signed and that is good now."""
    key = _key(kid, keys)
    try:
        claims: Claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=issuer,
            options={"require": list(REQUIRED), "verify_aud": False, "strict_aud": False},
        )
    except jwt.ExpiredSignatureError as error:
        raise Rejected(
            "ExpiredTokenException", f"Token expired: it is past its expiration now ({int(time.time())})"
        ) from error
    except (jwt.PyJWTError, OverflowError) as error:  # a time may be as large as JSON can say
        raise _invalid(str(error)) from error
    if TAGS in claims:
        raise _invalid("session tags in a token are not part of the local cloud")
    return claims


def audience(claims: Claims, accepted: Iterable[str]) -> str:
    """Return whom the token is for: one of the provider's client ids."""
    meant = claims.get("azp") or claims["aud"]
    if isinstance(meant, list) and len(meant) == 1:
        meant = meant[0]
    if not isinstance(meant, str) or meant not in accepted:
        raise _invalid("Incorrect token audience")
    return meant


def condition_keys(claims: Claims, audience: str, provider: str) -> dict[str, str | list[str]]:
    """Return what a trust policy may ask of a token of the *provider*, its URL without the scheme.

    AWS reads `WORKFLOW` of GitHub's own issuer only; here every issuer's tokens may hold them.
    """
    found: dict[str, str | list[str]] = {
        name: claims[name] for name in (*STANDARD, *WORKFLOW) if isinstance(claims.get(name), str)
    }
    found["aud"] = audience
    if isinstance(claims.get("amr"), list):
        found["amr"] = [str(each) for each in claims["amr"]]
    if claims.get("azp") and isinstance(claims["aud"], str):
        found["oaud"] = claims["aud"]
    return {f"{provider}:{name}": value for name, value in found.items()}


def _key(kid: str, keys: Iterable[Mapping[str, Any]]) -> jwt.PyJWK:
    for each in keys:
        if each.get("kid") == kid and _signs(each):
            try:
                key = jwt.PyJWK(dict(each), algorithm=ALGORITHM)
            except jwt.PyJWTError as error:
                raise _invalid(f"the issuer's key {kid} cannot be read: {error}") from error
            if key.key.key_size < SHORTEST_KEY:
                raise _invalid(f"the issuer's key {kid} has less than {SHORTEST_KEY} bits")
            return key
    raise _invalid(
        f"Couldn't retrieve verification key from your identity provider: it publishes no key {kid}"
    )


def _signs(key: Mapping[str, Any]) -> bool:
    is_for_signing = key.get("use", "sig") == "sig" and key.get("alg", ALGORITHM) == ALGORITHM
    return key.get("kty") == "RSA" and is_for_signing


def _invalid(why: str) -> Rejected:
    return Rejected("InvalidIdentityToken", why)
