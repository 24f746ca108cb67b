"""The life of one task: its containers started, registered, watched, drained and stopped."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable

from atelier.cloud.context import Cloud, Refused, Running, RunningContainer
from atelier.cloud.services.ecs import balancing, definitions, live, records
from atelier.cloud.services.ecs.checks import Checks
from atelier.cloud.services.ecs.containers import Maker, StartFailed
from atelier.cloud.services.ecs.service import now, tasks
from atelier.cloud.services.sagemaker.access import Log
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

LOG_PATIENCE = 10.0
DRAIN_LOOK = 0.1

logger = logging.getLogger(__name__)


class Run:
    """One task's processes. *state* is the cloud's; the task's record says what others may see."""

    def __init__(self, cloud: Cloud, state: live.Live, task: Record) -> None:
        self._cloud, self._state = cloud, state
        self.id: str = task["Id"]
        self._definition = definitions.find(cloud, task["taskDefinitionArn"])
        self._maker = Maker(cloud, task, self._definition)
        self._wanted_end = threading.Event()
        self._running: dict[str, Running] = {}
        self._watchers: list[threading.Thread] = []
        self._logs: list[Log] = []
        self._paths: list[str] = []
        self.ended = threading.Event()

    @property
    def pids(self) -> list[int]:
        """Return the numbers of the containers' first processes."""
        return [each.pid for each in list(self._running.values())]

    def begin(self) -> None:
        """Run in a thread of its own."""
        self._cloud.spawn(self._live)

    def stop(self, code: str, reason: str, **values: object) -> None:
        """Let the task end, if it does not already."""
        records.stopping(self._cloud, self.id, code, reason, **values)
        self.end()

    def end(self) -> None:
        """Let the task end, whose record says why."""
        self._wanted_end.set()

    def abort(self, grace: float) -> None:
        """End the containers at once: the cloud goes down."""
        self._wanted_end.set()
        for each in list(self._running.values()):
            each.stop(grace)

    def _live(self) -> None:
        try:
            if self._is_wanted():
                self._start()
                self._wanted_end.wait()
        except (StartFailed, Refused, ServiceError) as error:
            self.stop("TaskFailedToStart", _reason(error), IsFailed=True)
        except Exception:  # the edge: no task stays in between; the text of the unexpected stays here
            logger.exception("task %s is lost", self.id)
            self.stop("TaskFailedToStart", "InternalError: see `atelier logs`", IsFailed=True)
        finally:
            self._finish()

    def _is_wanted(self) -> bool:
        """Say whether nobody has stopped the task before it began."""
        return (tasks(self._cloud).get(self.id) or {}).get("desiredStatus") == "RUNNING"

    def _start(self) -> None:
        self._become("PENDING", pullStartedAt=now())
        containers = self._definition["containerDefinitions"]
        found = [(each, self._maker.image(each).resolved) for each in containers]
        self._become("PENDING", pullStoppedAt=now())
        for definition, image in found:
            if self._wanted_end.is_set():
                return
            self._start_container(definition, image)
        task = self._become("ACTIVATING")
        if task is None or self._wanted_end.is_set():
            return
        balancing.register(self._cloud, task)
        self._become("RUNNING", startedAt=now(), RunsSince=time.time())
        self._state.changed.set()

    def _start_container(self, definition: Document, image: str) -> None:
        name = definition["name"]
        variables, paths = self._state.agent.open(self.id, self._definition.get("taskRoleArn"), name)
        self._paths += paths
        log = self._open_log(definition)
        own = {
            "AWS_ENDPOINT_URL": self._cloud.endpoint,
            "AWS_REGION": self._cloud.region,
            "AWS_DEFAULT_REGION": self._cloud.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            **variables,
        }
        container = self._maker.make(definition, image, own, log)
        digest = image.partition("@")[2]
        try:
            running = self._cloud.engine.start(container)
        except Refused as refused:
            raise StartFailed(f"CannotStartContainerError: {refused}") from refused
        self._running[name] = running
        records.change_container(self._cloud, self.id, name, lastStatus="RUNNING", imageDigest=digest)
        is_essential = definition["essential"]
        if "healthCheck" in definition:
            self._check(definition, running)
        self._watchers.append(self._cloud.spawn(self._watch, name, running, is_essential))

    def _check(self, definition: Document, running: RunningContainer) -> None:
        def say(status: str) -> None:
            records.change_health(self._cloud, self.id, definition["name"], status)
            self._state.changed.set()

        checks = Checks(definition["healthCheck"], self._state.settings.second, say, self._wanted_end)
        self._watchers.append(self._cloud.spawn(checks.run, running))

    def _open_log(self, definition: Document) -> Callable[[str], None]:
        log = self._maker.log(definition)
        if log is None:
            return lambda line: logger.debug("task %s: %s", self.id, line)
        self._logs.append(log)
        return log

    def _watch(self, name: str, running: Running, is_essential: bool) -> None:
        """Wait for a container's end; with an essential one the task ends."""
        code = running.wait()
        if self._state.ending.is_set():
            return
        why = {"reason": running.fault.reason} if running.fault else {}
        records.change_container(self._cloud, self.id, name, lastStatus="STOPPED", exitCode=code, **why)
        if is_essential:
            self.stop("EssentialContainerExited", "Essential container in task exited", IsFailed=True)

    def _become(self, status: str, **values: object) -> Record | None:
        return records.change(self._cloud, self.id, lastStatus=status, **values)

    def _finish(self) -> None:
        try:
            if not self._state.ending.is_set():
                self._drain()
                self._become("STOPPING")
            self._stop_containers()
            for log in self._logs:
                log.close(LOG_PATIENCE)
            self._state.agent.close(self.id, self._paths)
            shutil.rmtree(self._cloud.home / "ecs" / "volumes" / self.id, ignore_errors=True)
        except Exception:  # the edge: whatever fails on the way out, the task is over
            logger.exception("task %s did not end well", self.id)
        finally:
            if not self._state.ending.is_set():
                records.stopped(self._cloud, self.id)
            self._state.runs.pop(self.id, None)
            self.ended.set()
            self._state.changed.set()

    def _drain(self) -> None:
        """Take the task out of its load balancers, and wait for the requests that it has."""
        task = self._become("DEACTIVATING")
        if task is None:
            return
        balancing.deregister(self._cloud, task)
        self._state.changed.set()
        deadline = time.monotonic() + self._state.settings.drain_limit
        while time.monotonic() < deadline and not self._state.ending.wait(DRAIN_LOOK):
            if not self._is_alive() or balancing.is_drained(self._cloud, task):
                return

    def _is_alive(self) -> bool:
        return any(each.wait(0) is None for each in self._running.values())

    def _stop_containers(self) -> None:
        graces = {each["name"]: each.get("stopTimeout") for each in self._definition["containerDefinitions"]}
        settings = self._state.settings
        stoppers = []
        for name, running in list(self._running.items()):
            grace = settings.shutdown_grace if self._state.ending.is_set() else graces[name]
            stoppers.append(
                self._cloud.spawn(_stop, running, settings.stop_timeout if grace is None else grace)
            )
        for thread in [*stoppers, *self._watchers]:
            thread.join()


def _stop(running: Running, grace: float) -> None:
    running.stop(grace)


def _reason(error: Exception) -> str:
    text = str(error)
    return text if "Error:" in text[:60] else f"ResourceInitializationError: {text}"
