"""What an issuer publishes: its configuration and its keys, over TLS that is really checked."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
from collections.abc import Collection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from atelier.cloud.gateway.hooks.federation.rejected import Rejected

CONFIGURATION = "/.well-known/openid-configuration"
PATIENCE = 5.0
LARGEST = 1 << 20
PORT = 443

Document = dict[str, Any]


def keys(url: str, thumbprints: Collection[str]) -> list[Document]:
    """Return the keys that the issuer at *url* signs with now."""
    configuration = _document(url.rstrip("/") + CONFIGURATION, thumbprints)
    if configuration.get("issuer") != url:
        raise _unusable(f"{url} says that it is {configuration.get('issuer')}")
    place = str(configuration.get("jwks_uri", ""))
    if not place.startswith("https://"):
        raise _unusable(f"{url} names no jwks_uri that begins with https://")
    found = _document(place, thumbprints).get("keys")
    if not isinstance(found, list):
        raise _unusable(f"{place} holds no list of keys")
    return [each for each in found if isinstance(each, dict)]


def _unusable(why: str) -> Rejected:
    return Rejected(
        "InvalidIdentityToken", f"Couldn't retrieve verification key from your identity provider: {why}"
    )


def _document(url: str, thumbprints: Collection[str]) -> Document:
    try:
        body = _body(url, thumbprints)
        document = json.loads(body)
    except (OSError, http.client.HTTPException) as error:
        raise Rejected(
            "IDPCommunicationError", f"{url} cannot be reached: {error or type(error).__name__}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _unusable(f"{url} is not a JSON document, or no address") from error
    if not isinstance(document, dict):
        raise _unusable(f"{url} is not a JSON object")
    return document


def _body(url: str, thumbprints: Collection[str]) -> bytes:
    place = urlsplit(url)
    try:
        return _get(place, ssl.create_default_context())
    except ssl.SSLCertVerificationError:  # no authority vouches for it: its thumbprint may
        return _get(place, _by_thumbprint(place, thumbprints))


def _get(place: SplitResult, context: ssl.SSLContext) -> bytes:
    connection = http.client.HTTPSConnection(
        str(place.hostname), place.port or PORT, timeout=PATIENCE, context=context
    )
    try:
        connection.request("GET", place.path or "/", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise _unusable(f"{place.geturl()} answers {answer.status}")
        body = answer.read(LARGEST + 1)
    finally:
        connection.close()
    if len(body) > LARGEST:
        raise _unusable(f"{place.geturl()} has more than {LARGEST:,} bytes")
    return body


def _by_thumbprint(place: SplitResult, thumbprints: Collection[str]) -> ssl.SSLContext:
    """Trust the one certificate that the server shows, when the provider lists its thumbprint.

    The name in it is checked as ever. A chain under an authority of one's own is not known here.
    """
    shown = ssl.get_server_certificate((str(place.hostname), place.port or PORT), timeout=PATIENCE)
    thumbprint = hashlib.sha1(ssl.PEM_cert_to_DER_cert(shown), usedforsecurity=False).hexdigest()
    if thumbprint not in {each.lower() for each in thumbprints}:
        raise Rejected(
            "InvalidIdentityToken",
            f"OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint: {place.netloc}"
            " is vouched for by no authority that this machine knows",
        )
    context = ssl.create_default_context(cadata=shown)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
