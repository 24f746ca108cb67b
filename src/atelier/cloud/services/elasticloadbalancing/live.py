"""The load balancers of a running cloud: brought in line with the records after every change of these.

They have an event loop of their own: the gateway's would be in their way, and they in the gateway's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.elasticloadbalancing import access_logs, health, metrics, places, pool
from atelier.cloud.services.elasticloadbalancing.doors import Door, Face
from atelier.cloud.services.elasticloadbalancing.pool import Group, Target
from atelier.cloud.services.elasticloadbalancing.service import (
    groups,
    listeners,
    load_balancers,
    targets,
    unwritten,
    users,
)
from atelier.cloud.services.elasticloadbalancing.speaking import Speaker
from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Record

PATIENCE = 30.0
GRACE = 3.0
PATIENTLY = 300.0
"""Seconds that requests have on connections taken before a listener was changed."""

SHOWN = ("Port", "Protocol", "Certificates", "SslPolicy")
UNLIMITED = 0

logger = logging.getLogger(__name__)

_clouds: dict[Path, Live] = {}


class Live:
    """What runs for one cloud; everything but `do`, `refresh` and `reserve` belongs to its event loop."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.groups: dict[str, Group] = {}
        self.closed: dict[str, str] = {}
        """Listeners that cannot be opened, and why; it is tried again."""
        self._reserved: dict[tuple[str, int], socket.socket] = {}
        self._doors: dict[tuple[str, int], Door] = {}
        self._faces: dict[str, tuple[Record, Face]] = {}
        self._closing: dict[asyncio.Task[None], Face] = {}
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to serve what is recorded."""
        self._thread = self.cloud.spawn(self._loop.run_forever)
        self.do(self._begin())
        self.refresh()

    def stop(self) -> None:
        """Take no more requests, and wait a moment for those under way."""
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the event loop; for other threads."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def refresh(self) -> None:
        """Bring what runs in line with the records."""
        self.do(self._refresh())

    def reserve(self, place: tuple[str, int]) -> None:
        """Open a port for a listener that is about to be recorded; raise Refused when it is taken."""
        if place not in self._doors and place not in self._reserved:
            self._reserved[place] = places.bound(*place)

    async def _begin(self) -> None:
        jar = aiohttp.DummyCookieJar()
        plain: dict[str, Any] = {"cookie_jar": jar, "auto_decompress": False}
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=UNLIMITED, keepalive_timeout=55),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            **plain,
        )
        self._checks = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), **plain)
        self.tally, self.log = metrics.Tally(), access_logs.Log()
        for arn, record in unwritten(self.cloud).items():
            self.log.put(arn, record["Lines"])
            unwritten(self.cloud).delete(arn)
        self.speaker = Speaker(self.cloud, self.session, self.groups, self.tally, self.log)
        self._reports = (
            asyncio.create_task(self._again(metrics.EVERY, self.report)),
            asyncio.create_task(self._again(access_logs.EVERY, self.write)),
        )

    async def _end(self) -> None:
        for door in self._doors.values():
            door.close()
        for closing in self._closing:
            closing.cancel()
        faces = [*self._closing.values(), *(face for _, face in self._faces.values())]
        await asyncio.gather(*(face.close(GRACE) for face in faces))
        for group in self.groups.values():
            for target in group.targets.values():
                target.rest(target.verdict)
        for each in self._reports:
            each.cancel()
        for arn, lines in self.log.take().items():  # the gateway takes no requests any more
            unwritten(self.cloud).put(arn, {"Lines": lines})
        await self.session.close()
        await self._checks.close()

    async def _again(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:  # what ends here would not come again
                logger.exception("the load balancers' reports are incomplete")

    async def report(self) -> None:
        """Tell CloudWatch what has happened; try again what could not be opened."""
        if self.closed:
            self._refresh_listeners()
        used = {arn: users(self.cloud, arn) for arn in self.groups}
        told = self.tally.take(self.groups, used)

        def tell() -> None:
            for name, value, dimensions in told:
                self.cloud.metrics.put(metrics.NAMESPACE, name, value, dimensions)

        await asyncio.to_thread(tell)

    async def write(self) -> None:
        """Put the access logs where they belong."""
        for arn, lines in self.log.take().items():
            balancer = load_balancers(self.cloud).get(arn)
            if balancer is not None and access_logs.is_on(balancer["Attributes"]):
                await asyncio.to_thread(access_logs.write, self.cloud, balancer, lines)

    async def _refresh(self) -> None:
        self._refresh_groups()
        self._refresh_listeners()

    def _refresh_groups(self) -> None:
        recorded = dict(groups(self.cloud).items())
        for arn in self.groups.keys() - recorded.keys():
            for target in self.groups.pop(arn).targets.values():
                target.rest(pool.NOT_REGISTERED)
        for arn, record in recorded.items():
            group = self.groups.setdefault(arn, Group(arn, record))
            group.record, group.is_used = record, bool(users(self.cloud, arn))
        registered: dict[str, set[pool.Key]] = {arn: set() for arn in recorded}
        for key, record in targets(self.cloud).items():
            if record["Group"] not in recorded:
                targets(self.cloud).delete(key)
                continue
            registered[record["Group"]].add((record["Id"], record["Port"]))
            self._refresh_target(self.groups[record["Group"]], record)
        for arn, keys in registered.items():
            for gone in self.groups[arn].targets.keys() - keys:
                self.groups[arn].targets.pop(gone).rest(pool.NOT_REGISTERED)

    def _refresh_target(self, group: Group, record: Record) -> None:
        target = group.targets.setdefault(
            (record["Id"], record["Port"]), Target(record["Id"], record["Port"])
        )
        if record["Until"] is not None:
            if target.ending is None:
                target.rest(pool.DRAINING)
                self._drain(group, target, max(0.0, record["Until"] - time.time()))
        elif not group.is_used:
            target.rest(pool.NOT_IN_USE)
        elif target.checking is None:
            if target.ending is not None:  # registered again while it drained
                target.ending.cancel()
                target.ending = target.idle = None
                target.end(None)
            target.verdict = pool.NEW
            target.checking = asyncio.create_task(health.watch(self._checks, group, target))

    def _drain(self, group: Group, target: Target, seconds: float) -> None:
        """Let what a target works on come to its end, within its time; one that is idle is done at once."""
        end = self._loop.time() + seconds
        target.end(end)

        def over(when: float) -> None:
            if target.ending is not None:
                target.ending.cancel()
            target.ending = self._loop.call_at(when, self._drained, group, target)

        target.idle = lambda: over(self._loop.time())
        over(end if target.busy else self._loop.time())

    def _drained(self, group: Group, target: Target) -> None:
        key = (target.id, target.port)
        with targets(self.cloud).lock:
            record = targets(self.cloud).get(places.target(group.arn, *key))
            if record is not None and record["Until"] is None:  # registered again just now
                return
            targets(self.cloud).delete(places.target(group.arn, *key))
        group.targets.pop(key, None)
        target.rest(pool.NOT_REGISTERED)

    def _refresh_listeners(self) -> None:
        recorded = dict(listeners(self.cloud).items())
        balancers = dict(load_balancers(self.cloud).items())
        wanted: dict[str, tuple[Record, tuple[str, int]]] = {
            arn: (record, places.of(balancers[record["LoadBalancerArn"]], record))
            for arn, record in recorded.items()
            if record["LoadBalancerArn"] in balancers
        }
        self.speaker.learn(balancers, recorded)
        self.log.kept = frozenset(
            arn for arn, each in balancers.items() if access_logs.is_on(each["Attributes"])
        )
        for arn in list(self._faces.keys() - wanted.keys()):
            self._close(arn, GRACE)
        self.closed = {arn: why for arn, why in self.closed.items() if arn in wanted}
        for arn, (record, place) in wanted.items():
            shown = _shown(record, balancers[record["LoadBalancerArn"]])
            if arn not in self._faces or self._faces[arn][0] != shown:
                self._open(arn, shown, place)
        for place, door in list(self._doors.items()):
            if not door.is_used:
                self._doors.pop(place).close()

    def _open(self, arn: str, shown: Record, place: tuple[str, int]) -> None:
        try:
            face = self.speaker.face(arn, shown)
            door = self._door(place)
        except (OSError, Refused, ServiceError) as error:
            if arn not in self.closed:
                logger.error("listener %s cannot be opened: %s", arn, error)  # noqa: TRY400 - it says all
            self.closed[arn] = str(error)
            return
        self.closed.pop(arn, None)
        self._close(arn, PATIENTLY)
        self._faces[arn] = (shown, face)
        if face.tls is None:
            door.plain = face
        else:
            door.secure = face

    def _door(self, place: tuple[str, int]) -> Door:
        if place not in self._doors:
            listener = self._reserved.pop(place, None) or places.bound(*place)
            self._doors[place] = Door(listener)
        return self._doors[place]

    def _close(self, arn: str, grace: float) -> None:
        _, face = self._faces.pop(arn, (None, None))
        if face is None:
            return
        for door in self._doors.values():
            door.plain = None if door.plain is face else door.plain
            door.secure = None if door.secure is face else door.secure
        closing = self._loop.create_task(face.close(grace))
        self._closing[closing] = face
        closing.add_done_callback(lambda done: self._closing.pop(done, None))


def _shown(listener: Record, balancer: Record) -> Record:
    """Return what decides how a listener takes connections; all else counts from the next request on."""
    seconds = balancer["Attributes"]["idle_timeout.timeout_seconds"]
    return {**{name: listener.get(name) for name in SHOWN}, "KeepAlive": float(seconds)}


def of(cloud: Cloud) -> Live:
    """Return what runs for a cloud that is up."""
    live = _clouds.get(cloud.home)
    if live is None:
        raise Refused("the load balancers are not up yet: try again in a moment")
    return live


def start(cloud: Cloud) -> None:
    """Serve what is recorded."""
    live = Live(cloud)
    live.start()
    _clouds[cloud.home] = live


def stop(cloud: Cloud) -> None:
    """End what runs."""
    if live := _clouds.pop(cloud.home, None):
        live.stop()
