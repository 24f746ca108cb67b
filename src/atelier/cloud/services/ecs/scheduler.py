"""The loop that makes services what they are wanted to be: tasks started, replaced, rolled over, counted."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs import balancing, definitions, deployments, events, live, records
from atelier.cloud.services.ecs.placement import providers
from atelier.cloud.services.ecs.planning import Plan, Seen, Wanted, is_steady, plan
from atelier.cloud.services.ecs.run import Run
from atelier.cloud.services.ecs.service import now, services, tasks
from atelier.cloud.store import Record

logger = logging.getLogger(__name__)

SCALING = "ServiceSchedulerInitiated"


@dataclass
class Scheduler:
    """The scheduler of one cloud."""

    cloud: Cloud
    state: live.Live

    def run(self) -> None:
        """Look until the cloud goes down."""
        while not self.state.ending.is_set():
            self.state.changed.wait(self.state.settings.interval)
            self.state.changed.clear()
            for key, service in services(self.cloud).items():
                is_over = service["status"] == "INACTIVE" and not service.get("Untold")
                if not is_over and not self.state.ending.is_set():
                    self._attend(key)

    def _attend(self, key: str) -> None:
        try:
            self.look(key, time.time())
            self.tell(key)
        except Exception:  # a thread that ends would end scheduling for good
            logger.exception("service %s is not attended; it is tried again", key)

    def look(self, key: str, at: float) -> None:
        """Bring one service a step nearer to what is wanted."""
        with self.state.changing:
            service = services(self.cloud).get(key)
            if service is None or service["status"] == "INACTIVE":
                return
            before = services(self.cloud).get(key)
            self._step(key, service, at)
            if service != before:
                services(self.cloud).put(key, service)

    def tell(self, key: str) -> None:
        """Publish what the record of a service says has happened, and was not told yet."""
        told = events.tell(self.cloud, services(self.cloud).get(key) or {})
        if not told:
            return
        with self.state.changing:
            if service := services(self.cloud).get(key):
                services(self.cloud).change(key, Untold=service["Untold"][told:])

    def _step(self, key: str, service: Record, at: float) -> None:
        mine = records.of_service(self.cloud, key)
        self._count_failures(service, mine, at)
        if deployments.is_broken(service):
            deployments.fail(service)
        seen = self._seen(service, [each for each in mine if each["desiredStatus"] == "RUNNING"], at)
        wanted = self._wanted(service, at)
        step = plan(wanted, seen)
        self._stop(service, step)
        self._start(key, service, step.start)
        self._tally(service, records.of_service(self.cloud, key))
        self._settle(service, wanted, seen, step)
        if service["status"] == "DRAINING" and all(each["IsGone"] for each in service["deployments"]):
            service["status"] = "INACTIVE"

    def _wanted(self, service: Record, at: float) -> Wanted:
        rules, primary = service["deploymentConfiguration"], deployments.primary(service)
        is_failed = primary["rolloutState"] == "FAILED"
        return Wanted(
            count=service["desiredCount"] if service["status"] == "ACTIVE" else 0,
            least_percent=rules["minimumHealthyPercent"] if service["status"] == "ACTIVE" else 0,
            most_percent=rules["maximumPercent"],
            may_start=not is_failed and at >= primary["RetryAt"],
        )

    def _seen(self, service: Record, running: list[Record], at: float) -> list[Seen]:
        new = deployments.primary(service)["id"]
        found = []
        for task in running:
            health, why = self._health(service, task, at)
            if health == "healthy" and not task.get("WasHealthy"):
                tasks(self.cloud).change(task["Id"], WasHealthy=True)
                deployments.primary(service)["failedTasks"] *= task["Deployment"] != new
            found.append(
                Seen(
                    id=task["Id"],
                    is_new=task["Deployment"] == new,
                    is_healthy=health == "healthy",
                    failing=why if health == "failing" else None,
                    has_served=bool(task.get("WasHealthy")),
                )
            )
        return found

    def _health(self, service: Record, task: Record, at: float) -> tuple[str, str]:
        """Return ``healthy``, ``waiting`` or ``failing``, and why, by containers and load balancers."""
        if task["lastStatus"] != "RUNNING":
            return "waiting", task["lastStatus"]
        if task["healthStatus"] == "UNHEALTHY":
            return "failing", "Task failed container health checks"
        if task["Checked"] and task["healthStatus"] != "HEALTHY":
            return "waiting", "container health checks"
        age = at - task.get("RunsSince", at)
        if not task["Balancers"] and not task["Checked"]:
            return ("healthy", "") if age >= self.state.settings.settle else ("waiting", "just started")
        health, why = balancing.health(self.cloud, task)
        grace = service.get("healthCheckGracePeriodSeconds") or 0
        if health == "failing" and not task.get("WasHealthy") and age < grace:
            return "waiting", why
        return health, why

    def _count_failures(self, service: Record, mine: list[Record], at: float) -> None:
        primary = deployments.primary(service)
        for task in mine:
            if task["desiredStatus"] != "STOPPED" or task.get("IsCounted"):
                continue
            tasks(self.cloud).change(task["Id"], IsCounted=True)
            if not task.get("IsFailed") or task.get("WasHealthy") or task["Deployment"] != primary["id"]:
                continue
            primary["failedTasks"] += 1
            primary["updatedAt"] = now()
            service["IsSteady"] = False
            settings = self.state.settings
            delay = settings.restart_delay * 2 ** min(primary["failedTasks"] - 1, 20)
            primary["RetryAt"] = at + min(delay, settings.restart_delay_limit)
            if primary["failedTasks"] == 3 or primary["rolloutState"] == "COMPLETED":
                events.note(service, "is unable to consistently start tasks successfully.")
                events.service_acted(service, "SERVICE_TASK_START_IMPAIRED", "WARN")

    def _stop(self, service: Record, step: Plan) -> None:
        for id, why in step.failing.items():
            events.note(service, f"(task {id}) is unhealthy: {why}")
            self._end(id, SCALING, why, IsFailed=True)
        for id in step.surplus:
            owner = (tasks(self.cloud).get(id) or {}).get("Deployment")
            self._end(id, SCALING, f"Scaling activity initiated by (deployment {owner})")
        if step.surplus:
            events.note(service, f"has stopped {len(step.surplus)} running tasks: {_named(step.surplus)}.")

    def _end(self, id: str, code: str, why: str, **values: object) -> None:
        run = self.state.runs.get(id)
        if run is not None:
            run.stop(code, why, **values)
        elif records.stopping(self.cloud, id, code, why, **values):
            records.stopped(self.cloud, id)

    def _start(self, key: str, service: Record, count: int) -> None:
        if count <= 0:
            return
        primary = deployments.primary(service)
        free = self.state.settings.tasks - records.there(self.cloud)
        if free < count and not service.get("IsShort"):
            why = "You've reached the limit on the number of tasks you can run concurrently"
            events.note(service, f"was unable to place a task. Reason: {why}.")
            acted = {"reason": "RESOURCE:FARGATE"}
            events.service_acted(service, "SERVICE_TASK_PLACEMENT_FAILURE", "ERROR", **acted)
        service["IsShort"] = free < count
        started = [self._new(key, service, primary) for _ in range(min(count, max(free, 0)))]
        if started:
            events.note(service, f"has started {len(started)} tasks: {_named(started)}.")

    def _new(self, key: str, service: Record, primary: Record) -> str:
        cluster = key.partition("/")[0]
        definition = definitions.find(self.cloud, primary["taskDefinition"])
        mine = [
            each for each in records.of_service(self.cloud, key)
            if each["desiredStatus"] == "RUNNING" and each["Deployment"] == primary["id"]
        ]  # fmt: skip
        task = records.new(
            self.cloud,
            cluster,
            definition,
            network=primary["networkConfiguration"],
            group=f"service:{service['serviceName']}",
            startedBy=primary["id"],
            Service=key,
            Deployment=primary["id"],
            Balancers=primary["Balancers"],
            **providers(primary, mine),
            tags=_tags(service, definition),
        )
        launch(self.cloud, self.state, task)
        return str(task["Id"])

    def _tally(self, service: Record, mine: list[Record]) -> None:
        """Count what each deployment has, and forget those that have given way."""
        for each in service["deployments"]:
            states = [task["lastStatus"] for task in mine if task["Deployment"] == each["id"]]
            each["runningCount"] = states.count("RUNNING")
            each["pendingCount"] = sum(state in records.ACTIVE[:-1] for state in states)
            each["IsGone"] = all(state == "STOPPED" for state in states)
        first, *others = service["deployments"]
        first["desiredCount"] = service["desiredCount"]
        for each in others:
            each["desiredCount"] = each["runningCount"] + each["pendingCount"]
        is_done = first["rolloutState"] == "COMPLETED"
        good = None if is_done else (service.get("Good") or {}).get("id")
        service["deployments"] = [
            first,
            *(each for each in others if not each["IsGone"] or each["id"] == good),
        ]

    def _settle(self, service: Record, wanted: Wanted, seen: list[Seen], step: Plan) -> None:
        """Note that a deployment is complete, and that the service is as it should be."""
        left = [each for each in seen if each.id not in step.failing and each.id not in step.surplus]
        if step.start or not is_steady(wanted, left):
            service["IsSteady"] = False
            return
        if deployments.primary(service)["rolloutState"] == "FAILED":
            return
        if deployments.primary(service)["rolloutState"] == "IN_PROGRESS":
            deployments.completed(service)
        if not service.get("IsSteady"):
            service["IsSteady"] = True
            events.note(service, "has reached a steady state.")
            events.service_acted(service, "SERVICE_STEADY_STATE", "INFO")


def launch(cloud: Cloud, state: live.Live, task: Record) -> None:
    """Run a task that was made."""
    run = Run(cloud, state, task)
    state.runs[run.id] = run
    run.begin()


def _named(ids: list[str] | tuple[str, ...]) -> str:
    return " ".join(f"(task {each})" for each in ids)


def _tags(service: Record, definition: Record) -> list[Record]:
    source = {"SERVICE": service.get("tags", []), "TASK_DEFINITION": definition["Tags"]}
    tags: list[Record] = list(source.get(service.get("propagateTags", "NONE"), []))
    if service.get("enableECSManagedTags"):
        tags.append({"key": "aws:ecs:serviceName", "value": service["serviceName"]})
    return tags
