"""Whether the extension and a middleware speak the same version of the API."""

from __future__ import annotations

import re
from collections.abc import Mapping

from atelier_webui.contract.operations import VERSION
from atelier_webui.errors import Incompatible

HEADER = "x-api-version"


def check(version: str) -> None:
    """Raise Incompatible when a middleware of that version does not fit, with what is to be done."""
    theirs, ours = _numbers(version), _numbers(VERSION)
    if theirs is not None and ours is not None and theirs[0] == ours[0] and theirs >= ours:
        return
    newer = theirs is not None and ours is not None and theirs > ours
    raise Incompatible(
        f"The middleware speaks version {version[:40]} of the API, this extension {VERSION}:"
        f" update the {'extension' if newer else 'middleware'}."
    )


def check_header(headers: Mapping[str, str]) -> None:
    """Check the version that an answer names, if it names one."""
    if version := headers.get(HEADER):
        check(version)


def _numbers(version: str) -> tuple[int, int] | None:
    """Return major and minor version: patches change nothing that is said."""
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})", version)
    return (int(found[1]), int(found[2])) if found else None
