"""The backlog of an asynchronous endpoint: requests wait in it, survive the cloud, and are handed out.

Every request is a record in the store until its answer, or why there is none, has been told: what a stop or
a kill of the cloud interrupts is begun anew at the next start, so that it is answered at least once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker import live
from atelier.cloud.services.sagemaker.access import Access
from atelier.cloud.services.sagemaker.inference import Failed, Interrupted, Unreached, answer, keep_failure
from atelier.cloud.services.sagemaker.instance import Instance
from atelier.cloud.services.sagemaker.notices import Notices
from atelier.cloud.services.sagemaker.service import endpoints, requests
from atelier.cloud.store import Record

PAUSE = 0.1
"""Seconds between two looks for a free instance while a request waits."""

IDLE = 5.0
ATTEMPTS = 3
"""How often a request may end its container before it counts as failed."""

EXPIRED = "Request TTL expired"
WORN_OUT = "InternalServerError: the container ended while it was answering this request, {} times"
BROKEN = "InternalServerError: the local cloud failed; see `atelier logs`"

logger = logging.getLogger(__name__)


class Backlog:
    """The requests of one endpoint: those that wait, and those that are being answered."""

    def __init__(self, cloud: Cloud, endpoint: str, waiting: list[Record]) -> None:
        self._cloud = cloud
        self._state = live.of(cloud)
        self._endpoint = endpoint
        self._waiting = deque(waiting)
        self._running = 0
        self._next_expiry = min((each["Expires"] for each in waiting), default=float("inf"))
        self._condition = threading.Condition()
        self._closed = False
        self._notices = Notices(cloud, endpoint)
        self._state.keep(cloud.spawn(self._run))

    def add(self, record: Record) -> None:
        """Write a request down and let it wait for an instance."""
        requests(self._cloud).put(record["Id"], record)
        with self._condition:
            self._waiting.append(record)
            self._next_expiry = min(self._next_expiry, record["Expires"])
            self._condition.notify_all()

    def size(self) -> int:
        """Return how many requests are not answered yet, those included that an instance has."""
        with self._condition:
            return len(self._waiting) + self._running

    def close(self) -> None:
        """Hand out no more requests."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                if not self._closed:
                    self._condition.wait(PAUSE if self._waiting else IDLE)
                if self._closed:
                    return
            try:
                self._expire()
                while self._hand_out():
                    pass
            except Exception:  # a thread that ends would leave the backlog waiting for good
                logger.exception("the backlog of endpoint %s stumbled", self._endpoint)

    def _hand_out(self) -> bool:
        """Give the oldest request to an instance; say whether there was one, and one free for it."""
        fleet = self._state.fleets.get(self._endpoint)
        with self._condition:
            if not self._waiting or self._closed or fleet is None:
                return False
            instance = fleet.claim(self._concurrency())
            if instance is None:
                return False
            record = self._waiting.popleft()
            self._running += 1
        self._state.keep(self._cloud.spawn(self._serve, record, instance, fleet.access))
        return True

    def _concurrency(self) -> int:
        config = self._config().get("ClientConfig", {})
        return int(config.get("MaxConcurrentInvocationsPerInstance", self._state.settings.async_concurrency))

    def _config(self) -> Record:
        deployment = (endpoints(self._cloud).get(self._endpoint) or {}).get("deployment") or {}
        config: Record = deployment.get("AsyncInferenceConfig", {})
        return config

    def _serve(self, record: Record, instance: Instance, access: Access) -> None:
        """Have one request answered, and tell how that went; an interrupted one waits again."""
        again = False
        try:
            try:
                content_type = answer(self._cloud, access, instance, record)
            finally:
                instance.release()
            self._notices.completed(access, self._config(), record, content_type)
            requests(self._cloud).delete(record["Id"])
        except Unreached:
            # until its end is noticed, the instance would be given the request again at once
            time.sleep(PAUSE)
            again = not self._closed
        except Interrupted:
            again = not self._is_over(record, access)
        except Failed as failure:
            self._fail(record, access, str(failure), failure.body)
        except Exception:  # the edge: every request gets an end; the text of the unexpected stays here
            logger.exception("a request of endpoint %s broke", self._endpoint)
            self._fail(record, access, BROKEN)
        finally:
            self._end(record, again=again)

    def _is_over(self, record: Record, access: Access) -> bool:
        """Say whether an interrupted request shall not be tried again now."""
        if self._closed:
            return True  # the next start of the cloud finds it in the store
        record["Attempts"] += 1
        if record["Attempts"] < ATTEMPTS:
            requests(self._cloud).put(record["Id"], record)
            return False
        self._fail(record, access, WORN_OUT.format(ATTEMPTS))
        return True

    def _end(self, record: Record, *, again: bool) -> None:
        with self._condition:
            self._running -= 1
            if again and not self._closed:
                self._waiting.appendleft(record)
                self._next_expiry = min(self._next_expiry, record["Expires"])
            self._condition.notify_all()

    def _expire(self) -> None:
        """Fail what has waited for too long."""
        now = time.time()
        with self._condition:
            if now < self._next_expiry:
                return
            expired = [each for each in self._waiting if each["Expires"] <= now]
            self._waiting = deque(each for each in self._waiting if each["Expires"] > now)
            self._next_expiry = min((each["Expires"] for each in self._waiting), default=float("inf"))
        record = endpoints(self._cloud).get(self._endpoint) or {}
        role = (record.get("deployment") or {}).get("ExecutionRoleArn", "")
        access = Access(self._cloud, role, f"{self._endpoint}-expired"[:64])
        for each in expired:
            self._fail(each, access, EXPIRED)

    def _fail(self, record: Record, access: Access, reason: str, body: bytes | None = None) -> None:
        if self._closed:
            return  # whatever went wrong, the cloud going down may be the cause
        keep_failure(access, record, reason, body)
        self._notices.failed(access, self._config(), record, reason)
        requests(self._cloud).delete(record["Id"])


_lock = threading.Lock()


def of(cloud: Cloud, endpoint: str) -> Backlog:
    """Return the backlog of an endpoint."""
    state = live.of(cloud)
    with _lock:
        if endpoint not in state.backlogs:
            waiting = [each for _, each in requests(cloud).items() if each["Endpoint"] == endpoint]
            state.backlogs[endpoint] = Backlog(cloud, endpoint, waiting)
        return state.backlogs[endpoint]


def take_up(cloud: Cloud) -> None:
    """Let requests wait again that a stop or a kill of the cloud left unanswered."""
    waiting = {record["Endpoint"] for _, record in requests(cloud).items()}
    for endpoint in waiting:
        if endpoint in endpoints(cloud):
            of(cloud, endpoint)
        else:
            drop(cloud, endpoint)


def drop(cloud: Cloud, endpoint: str) -> None:
    """Forget the requests of an endpoint that is gone, as SageMaker does."""
    backlog = live.of(cloud).backlogs.pop(endpoint, None)
    if backlog is not None:
        backlog.close()
    lost = [key for key, record in requests(cloud).items() if record["Endpoint"] == endpoint]
    for key in lost:
        requests(cloud).delete(key)
    if lost:
        logger.warning("endpoint %s was deleted with %d requests unanswered", endpoint, len(lost))
