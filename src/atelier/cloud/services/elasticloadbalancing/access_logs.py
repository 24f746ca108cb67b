"""Access logs: one line for each request, in compressed files in the bucket that an attribute names."""

from __future__ import annotations

import gzip
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.elasticloadbalancing.exchange import Exchange
from atelier.cloud.services.elasticloadbalancing.service import SCOPE, dimension, invalid
from atelier.cloud.store import Record

EVERY = 60.0
MOST = 100_000
"""Lines of one load balancer that wait; more are let go, for what is not written fills the memory."""

WRITER = "logdelivery.elasticloadbalancing.amazonaws.com"
TEST = "ELBAccessLogTestFile"

logger = logging.getLogger(__name__)


class Log:
    """The lines that are not written yet, by load balancer."""

    def __init__(self) -> None:
        self.kept: frozenset[str] = frozenset()
        """Whose requests are written down."""
        self._lines: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, exchange: Exchange) -> None:
        """Write down one request."""
        if exchange.balancer not in self.kept:
            return
        lines = self._lines[exchange.balancer]
        if len(lines) < MOST:
            lines.append(line(exchange))

    def put(self, balancer: str, lines: Iterable[str]) -> None:
        """Take lines back that were not written when the cloud went down."""
        self._lines[balancer].extend(lines)

    def take(self) -> dict[str, list[str]]:
        """Return the lines, and begin anew."""
        taken, self._lines = dict(self._lines), defaultdict(list)
        return taken


def is_on(attributes: Mapping[str, str]) -> bool:
    """Say whether a load balancer writes its requests down."""
    return attributes["access_logs.s3.enabled"] == "true"


def try_out(cloud: Cloud, balancer: Record, attributes: Mapping[str, str]) -> None:
    """Write a first file; raise ServiceError where the bucket does not let the load balancers write."""
    if not is_on(attributes):
        return
    text = f"Enable AccessLog for ELB: {balancer['Name']} at {datetime.now(UTC).isoformat()}"
    try:
        _put(cloud, balancer, attributes, TEST, text.encode())
    except (Refused, ClientError, BotoCoreError) as error:
        bucket = attributes["access_logs.s3.bucket"]
        raise invalid(
            f"Access Denied for bucket: {bucket}. Please check S3bucket permission ({error})"
        ) from error


def write(cloud: Cloud, balancer: Record, lines: list[str]) -> None:
    """Put lines into the bucket; what cannot be put is lost, as on AWS, but not silently."""
    attributes, now = balancer["Attributes"], datetime.now(UTC)
    name = dimension(balancer["Arn"]).replace("/", ".")
    file = "_".join(
        (
            cloud.account,
            SCOPE,
            cloud.region,
            name,
            f"{now:%Y%m%dT%H%MZ}",
            balancer["Address"],
            f"{secrets.token_hex(4)}.log.gz",
        )
    )
    body = gzip.compress("".join(f"{each}\n" for each in lines).encode())
    try:
        _put(cloud, balancer, attributes, f"{SCOPE}/{cloud.region}/{now:%Y/%m/%d}/{file}", body)
    except (Refused, ClientError, BotoCoreError):
        logger.exception("%s lines of the access log of %s are lost", len(lines), balancer["Name"])


def _put(cloud: Cloud, balancer: Record, attributes: Mapping[str, str], name: str, body: bytes) -> None:
    bucket, prefix = attributes["access_logs.s3.bucket"], attributes["access_logs.s3.prefix"].strip("/")
    key = "/".join(each for each in (prefix, "AWSLogs", cloud.account, name) if each)
    resource = f"arn:aws:s3:::{bucket}/{key}"
    credentials = cloud.identity.serve(WRITER, "s3:PutObject", resource, source_arn=balancer["Arn"])
    client = cloud.client("s3", credentials)
    try:
        client.put_object(Bucket=bucket, Key=key, Body=body)
    finally:
        client.close()


def line(exchange: Exchange) -> str:
    """Return what AWS writes of a request, field by field."""
    began = _moment(exchange.began)
    rest = max(0.0, exchange.ended - exchange.reached - exchange.worked) if exchange.worked >= 0 else -1.0
    status = "-" if exchange.target_status is None else str(exchange.target_status)
    return " ".join(
        (
            exchange.kind,
            _moment(exchange.began + exchange.ended),
            dimension(exchange.balancer),
            exchange.client,
            exchange.target,
            *(_seconds(each) for each in (exchange.reached, exchange.worked, rest)),
            str(exchange.status),
            status,
            str(exchange.received),
            str(exchange.sent),
            _quoted(exchange.request),
            _quoted(exchange.agent),
            exchange.cipher,
            exchange.protocol,
            exchange.group or "-",
            *(_quoted(each) for each in (exchange.trace, exchange.domain, exchange.certificate)),
            _priority(exchange),
            began,
            *(_quoted(each) for each in (exchange.action, exchange.redirect, exchange.error)),
            *(_quoted(each) for each in (exchange.target, status, "-", "-")),
            "-",
        )
    )


def _priority(exchange: Exchange) -> str:
    return "0" if exchange.priority is None else str(exchange.priority)


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(value: float) -> str:
    return "-1" if value < 0 else f"{value:.3f}"


def _quoted(text: str) -> str:
    """Return text in quotes, that cannot end them or begin a line."""
    safe = "".join(each if each.isprintable() and each not in '"\\' else _escaped(each) for each in text)
    return f'"{safe}"'


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
