"""Which rule of a listener a request falls under, and where a redirect leads."""

from __future__ import annotations

import ipaddress
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

CONFIGS = {
    "path-pattern": "PathPatternConfig",
    "host-header": "HostHeaderConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
"""Where a condition holds its values, by its field; the first two may have them as `Values` as well."""


@dataclass(frozen=True)
class Asked:
    """What conditions look at."""

    method: str
    host: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    client: str


@dataclass(frozen=True)
class Rule:
    """One rule of a listener; the default one has no conditions, and no priority."""

    priority: int | None
    conditions: Sequence[Mapping[str, Any]]
    action: Mapping[str, Any]

    def holds(self, asked: Asked) -> bool:
        """Say whether a request fulfils all conditions."""
        return all(_holds(each, asked) for each in self.conditions)


def choose(rules: Sequence[Rule], asked: Asked) -> Rule:
    """Return the first rule that holds; the last one is the default."""
    return next(each for each in rules if each.holds(asked))


def weighted(weights: Mapping[str, int]) -> str | None:
    """Return one of the target groups by their weights, or None when all of them are zero."""
    if not any(weights.values()):
        return None
    return random.choices(list(weights), list(weights.values()))[0]


def location(config: Mapping[str, str], *, protocol: str, host: str, port: str, path: str, query: str) -> str:
    """Return where a redirect leads."""
    parts = {"protocol": protocol, "host": host, "port": port, "path": path.lstrip("/"), "query": query}

    def filled(name: str, default: str) -> str:
        return re.sub(r"#\{(\w+)\}", lambda it: parts.get(it[1], ""), config.get(name, default))

    scheme = filled("Protocol", "#{protocol}").lower()
    text = filled("Query", "#{query}")
    where = f"{scheme}://{filled('Host', '#{host}')}:{filled('Port', '#{port}')}{filled('Path', '/#{path}')}"
    return f"{where}?{text}" if text else where


def values(condition: Mapping[str, Any]) -> list[Any]:
    """Return a condition's values, wherever it has them."""
    config = condition.get(CONFIGS[condition["Field"]]) or {}
    return list(config.get("Values") or condition.get("Values") or ())


def _holds(condition: Mapping[str, Any], asked: Asked) -> bool:
    field, wanted = condition["Field"], values(condition)
    if field == "path-pattern":
        return any(_like(each, asked.path) for each in wanted)
    if field == "host-header":
        return any(_like(each.lower(), asked.host.lower()) for each in wanted)
    if field == "http-request-method":
        return asked.method in wanted
    if field == "source-ip":
        client = ipaddress.ip_address(asked.client)
        return any(client in ipaddress.ip_network(each, strict=False) for each in wanted)
    if field == "query-string":
        return any(_has(each, asked.query) for each in wanted)
    header = asked.headers.get(condition["HttpHeaderConfig"]["HttpHeaderName"])
    return header is not None and any(_like(each.lower(), header.lower()) for each in wanted)


def _has(wanted: Mapping[str, str], query: Sequence[tuple[str, str]]) -> bool:
    name, value = wanted.get("Key", "*").lower(), wanted["Value"].lower()
    return any(_like(name, key.lower()) and _like(value, each.lower()) for key, each in query)


def _like(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern in which ``*`` is any text and ``?`` one character; a backslash takes that away."""
    parts = re.findall(r"\\[*?\\]|.", pattern, re.DOTALL)
    special = {"*": ".*", "?": "."}
    return re.compile(
        "".join(special.get(each) or re.escape(each[1:] if len(each) > 1 else each) for each in parts),
        re.DOTALL,
    )
