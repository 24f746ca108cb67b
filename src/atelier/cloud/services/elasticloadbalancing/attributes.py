"""Attributes of load balancers and target groups: those that take effect here, and what they may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from atelier.cloud.context import Refused
from atelier.cloud.services.elasticloadbalancing.service import invalid
from atelier.cloud.services.wire import Document, ServiceError

NAME = "[A-Za-z0-9._/-]*"


@dataclass(frozen=True)
class Attribute:
    """One attribute: its default, and what it may be instead."""

    default: str
    pattern: str
    least: int | None = None
    most: int | None = None

    def takes(self, value: str) -> bool:
        """Say whether it may have a value."""
        if not re.fullmatch(self.pattern, value):
            return False
        return self.least is None or self.least <= int(value) <= (self.most or 0)


def _flag(default: str) -> Attribute:
    return Attribute(default, "true|false")


def _seconds(default: int, least: int, most: int) -> Attribute:
    return Attribute(str(default), r"\d{1,6}", least, most)


def _only(value: str) -> Attribute:
    return Attribute(value, re.escape(value))


BALANCER: Mapping[str, Attribute] = {
    "access_logs.s3.enabled": _flag("false"),
    "access_logs.s3.bucket": Attribute("", NAME),
    "access_logs.s3.prefix": Attribute("", NAME),
    "client_keep_alive.seconds": _only("3600"),
    "connection_logs.s3.enabled": _only("false"),
    "deletion_protection.enabled": _flag("false"),
    "idle_timeout.timeout_seconds": _seconds(60, 1, 4000),
    "load_balancing.cross_zone.enabled": _only("true"),
    "routing.http.desync_mitigation_mode": _only("defensive"),
    "routing.http.drop_invalid_header_fields.enabled": _flag("false"),
    "routing.http.preserve_host_header.enabled": _flag("false"),
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": _flag("false"),
    "routing.http.xff_client_port.enabled": _flag("false"),
    "routing.http.xff_header_processing.mode": Attribute("append", "append|preserve|remove"),
    "routing.http2.enabled": _only("false"),
    "waf.fail_open.enabled": _only("false"),
    "zonal_shift.config.enabled": _only("false"),
}
"""Of load balancers. There is no HTTP/2, no firewall and one zone here, so these cannot be switched on."""

GROUP: Mapping[str, Attribute] = {
    "deregistration_delay.timeout_seconds": _seconds(300, 0, 3600),
    "load_balancing.algorithm.type": Attribute("round_robin", "round_robin|least_outstanding_requests"),
    "load_balancing.cross_zone.enabled": _only("use_load_balancer_configuration"),
    "slow_start.duration_seconds": _only("0"),
    "stickiness.enabled": _only("false"),
}
"""Of target groups."""


def initial(known: Mapping[str, Attribute]) -> dict[str, str]:
    """Return what something new has."""
    return {name: each.default for name, each in known.items()}


def checked(known: Mapping[str, Attribute], given: Iterable[Document]) -> dict[str, str]:
    """Return attributes by name; raise for one that is not known, or cannot be so."""
    found = {each["Key"]: str(each.get("Value", "")) for each in given}
    for name, value in found.items():
        if name not in known:
            raise Refused(f"the attribute {name} is not part of the local cloud")
        attribute = known[name]
        if attribute.pattern == re.escape(attribute.default) and value != attribute.default:
            raise Refused(f"the attribute {name} can only be {attribute.default!r} in the local cloud")
        if not attribute.takes(value):
            raise ServiceError(
                "InvalidConfigurationRequest", f"The value '{value}' is not valid for the attribute '{name}'"
            )
    return found


def listed(attributes: Mapping[str, str]) -> list[dict[str, str]]:
    """Return attributes as the API shows them."""
    return [{"Key": name, "Value": value} for name, value in sorted(attributes.items())]


def complete(attributes: Mapping[str, str]) -> None:
    """Raise ServiceError for access logs that have no bucket to go to."""
    if attributes["access_logs.s3.enabled"] == "true" and not attributes["access_logs.s3.bucket"]:
        raise invalid("The value of 'access_logs.s3.bucket' cannot be empty when access logs are enabled")
