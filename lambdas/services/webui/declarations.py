"""Declarations: which repository is followed, as our own source says it in TOML."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from atelier.contract.webui import DECLARATION
from atelier.lambdas.domain.webui import Upstream
from atelier.lambdas.errors import Invalid

COMMIT = re.compile(r"[0-9a-f]{40}")
NAME = re.compile(r"(?!.*(\.\.|//|@\{))[^\s~^:?*\[\\/-][^\s~^:?*\[\\]*")
"""What git takes for a branch or a tag, but for rules that nobody breaks by mistake."""
KINDS = {"branch": "refs/heads/", "tag": "refs/tags/"}
KNOWN = frozenset({"repository", "pin", *KINDS})


def read(text: str) -> Upstream:
    """Return what is followed; raise Invalid with what is wrong, and where."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{DECLARATION} is not TOML: {error}") from error
    table = document.get("upstream")
    if not isinstance(table, dict):
        raise _wrong("there is no table [upstream]")
    if unknown := sorted(table.keys() - KNOWN):
        raise _wrong(f"[upstream] has no {unknown[0]}; it has {', '.join(sorted(KNOWN))}")
    url = _text(table, "repository")
    named = [each for each in KINDS if each in table]
    if len(named) != 1:
        raise _wrong("[upstream] names a branch or a tag, one of the two")
    name = _text(table, named[0])
    if not NAME.fullmatch(name):
        raise _wrong(f"{name!r} is no name of a {named[0]}")
    return Upstream(url=_moved(document, url), reference=KINDS[named[0]] + name, pin=_pin(table))


def _text(table: dict[str, Any], name: str) -> str:
    found = table.get(name)
    if not isinstance(found, str) or not found.strip():
        raise _wrong(f"[upstream] {name} is missing, or no text")
    return found


def _pin(table: dict[str, Any]) -> str | None:
    if "pin" not in table:
        return None
    found = _text(table, "pin")
    if not COMMIT.fullmatch(found):
        raise _wrong(f"pin is {found!r}, not a commit of 40 hexadecimal digits")
    return found


def _moved(document: dict[str, Any], url: str) -> str:
    """Return where a repository is now."""
    overrides = document.get("overrides", {})
    if not isinstance(overrides, dict):
        raise _wrong("[overrides] is no table")
    found = overrides.get(url, url)
    if not isinstance(found, str) or not found.strip():
        raise _wrong(f"[overrides] says no place for {url}")
    return found


def _wrong(what: str) -> Invalid:
    return Invalid(f"{DECLARATION}: {what}")
