"""Health checks: real requests, again and again, as the target group says."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from atelier.cloud.services.elasticloadbalancing.pool import Group, Target, Verdict
from atelier.cloud.store import Record

AGENT = "ELB-HealthChecker/2.0"
BODY = 64 * 1024
"""Bytes of an answer that are looked at: a check must not fill the memory."""

logger = logging.getLogger(__name__)


async def watch(session: aiohttp.ClientSession, group: Group, target: Target) -> None:
    """Check one target until it is cancelled; settings count from the next check on."""
    while True:
        try:
            failure = await failing(session, group.record, target)
        except Exception:  # the edge: a target must not stay what it is for ever
            logger.exception("the health check of %s:%s went wrong", target.id, target.port)
            failure = _failed("see `atelier logs`")
        check = group.record["HealthCheck"]
        target.judge(failure, up=check["HealthyThresholdCount"], down=check["UnhealthyThresholdCount"])
        await asyncio.sleep(check["IntervalSeconds"])


async def failing(session: aiohttp.ClientSession, group: Record, target: Target) -> Verdict | None:
    """Ask a target once; return what is wrong with it."""
    check = group["HealthCheck"]
    port = target.port if check["Port"] == "traffic-port" else int(check["Port"])
    url = f"http://{target.id}:{port}{check['Path']}"
    limit = aiohttp.ClientTimeout(total=check["TimeoutSeconds"])
    try:
        async with session.get(
            url, timeout=limit, allow_redirects=False, headers={"User-Agent": AGENT}
        ) as answer:
            await answer.content.read(BODY)
    except TimeoutError:
        return "unhealthy", "Target.Timeout", "Request timed out"
    except (aiohttp.ClientError, OSError):
        return _failed("Health checks failed")
    if matches(answer.status, group["Matcher"]):
        return None
    text = f"Health checks failed with these codes: [{answer.status}]"
    return "unhealthy", "Target.ResponseCodeMismatch", text


def _failed(text: str) -> Verdict:
    return "unhealthy", "Target.FailedHealthChecks", text


def matches(status: int, matcher: str) -> bool:
    """Say whether a status is among those of a matcher: ``200``, ``200,202`` or ``200-299``."""
    for part in matcher.split(","):
        first, _, last = part.partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False
