"""The loop that makes scaling real: alarms are judged, policies ask, endpoints are changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.autoscaling import activities, alarms, steps, tracking
from atelier.cloud.services.autoscaling.policies import STEPS, TRACKING, of_target
from atelier.cloud.services.autoscaling.scalables import of
from atelier.cloud.services.autoscaling.service import policies, targets
from atelier.cloud.services.autoscaling.settings import Settings
from atelier.cloud.services.autoscaling.targets import remove
from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Record

logger = logging.getLogger(__name__)

Fired = dict[str, list[tuple[Mapping[str, Any], alarms.Verdict]]]
"""The alarms that ask a policy for a change, by the policy's ARN."""


@dataclass(frozen=True)
class Wish:
    """The capacity that one policy asks for, and why."""

    policy: Record
    count: int
    cause: str


@dataclass
class Evaluation:
    """The scaling of one cloud."""

    cloud: Cloud
    settings: Settings
    ending: threading.Event = field(default_factory=threading.Event)
    _asked: dict[str, float] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Look until the cloud goes down."""
        while not self.ending.wait(self.settings.interval):
            try:
                self.look(time.time())
            except Exception:  # a thread that ends would end scaling for good
                logger.exception("scaling stumbled; it is tried again")

    def look(self, now: float) -> None:
        """Judge every alarm once, and change the endpoints that need it."""
        fired = self._judge(now)
        for resource, target in targets(self.cloud).items():
            try:
                self._scale(resource, target, fired, now)
            except (
                ServiceError
            ) as error:  # it is being changed otherwise, or too many: the next look will see
                if self._said.get(resource) != str(error):
                    self._said[resource] = str(error)
                    logger.warning("%s is not scaled now: %s", resource, error)

    def _judge(self, now: float) -> Fired:
        fired: Fired = {}
        for alarm in self.cloud.metrics.alarms():
            period = self.settings.lasting(alarm["Period"])
            dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])}
            since = now - alarms.reach(alarm, period)
            samples = self.cloud.metrics.samples(alarm["Namespace"], alarm["MetricName"], dimensions, since)
            verdict = alarms.judge(alarm, samples, now, period)
            if verdict.state != alarm["StateValue"]:
                self.cloud.metrics.move_alarm(alarm["AlarmName"], verdict.state, verdict.reason)
            if verdict.state == "ALARM" and verdict.points and alarm.get("ActionsEnabled", True):
                for action in alarm.get("AlarmActions", ()):
                    fired.setdefault(action, []).append((alarm, verdict))
        return fired

    def _scale(self, resource: str, target: Record, fired: Fired, now: float) -> None:
        kind = of(target)
        if not kind.is_there(self.cloud, resource):
            remove(self.cloud, resource)
            return
        capacity = kind.capacity(self.cloud, resource)
        if capacity is None or not capacity.is_settled:
            return
        self._end_activity(resource, capacity.desired, now)
        current, wish = capacity.desired, None
        least, most = target["MinCapacity"], target["MaxCapacity"]
        count = min(max(current, least), most)
        if count == current:
            wish = self._wish(resource, target, current, fired, now)
            count = current if wish is None else min(max(wish.count, least), most)
        if count == current or (count < current and not capacity.may_shrink):
            return
        bound = "minimum" if current < least else "maximum"
        cause = f"{bound} capacity was set to {count}" if wish is None else wish.cause
        self._change(target, current, count, cause, wish, now)

    def _change(
        self, target: Record, current: int, count: int, cause: str, wish: Wish | None, now: float
    ) -> None:
        kind, resource = of(target), target["ResourceId"]
        kind.resize(self.cloud, resource, count)
        direction = "out" if count > current else "in"
        move = None
        if wish is not None:
            move = {"policy": wish.policy["PolicyARN"], "direction": direction, "by": abs(count - current)}
            self._asked[wish.policy["PolicyARN"]] = now
            self._remember(move, now)
        logger.info("%s: %d %ss instead of %d: %s", resource, count, kind.unit, current, cause)
        activities.begin(self.cloud, target, count, cause, move)

    def _end_activity(self, resource: str, capacity: int, now: float) -> None:
        """End the activity whose change has come about; its cooldown begins now."""
        activity = activities.running(self.cloud, resource)
        if activity is None:
            return
        activities.end(self.cloud, activity, capacity)
        if activity["move"] is not None:
            self._remember(activity["move"], now)

    def _remember(self, move: Record, now: float) -> None:
        with policies(self.cloud).lock:
            policy = policies(self.cloud).get(move["policy"])
            if policy is not None:
                made = {**policy.get("moves", {}), move["direction"]: {"at": now, "by": move["by"]}}
                policies(self.cloud).change(move["policy"], moves=made)

    def _wish(self, resource: str, target: Record, current: int, fired: Fired, now: float) -> Wish | None:
        """Return what the policies ask for together: the most, and less only when all that track agree."""
        mine = of_target(self.cloud, resource)
        wishes = [wish for policy in mine if (wish := self._wish_of(policy, current, fired))]
        suspended = target["SuspendedState"]
        out = [each for each in wishes if each.count > current]
        if out:
            best = max(out, key=lambda each: each.count)
            is_free = not suspended["DynamicScalingOutSuspended"]
            return best if is_free and self._is_due(best, current, now) else None
        less = [each for each in wishes if each.count < current]
        if not less or suspended["DynamicScalingInSuspended"] or not _all_agree(mine, less):
            return None
        best = max(less, key=lambda each: each.count)
        return best if self._is_settled(best, mine, now) else None

    def _wish_of(self, policy: Record, current: int, fired: Fired) -> Wish | None:
        """Return what one policy asks for, by the alarm of its that asks for the most."""
        wishes = [
            Wish(policy, _count(policy, alarm, verdict, current), _cause(policy, alarm))
            for alarm, verdict in fired.get(policy["PolicyARN"], ())
        ]
        return max(wishes, key=lambda each: each.count, default=None)

    def _is_due(self, wish: Wish, current: int, now: float) -> bool:
        """Say whether a policy may scale out: once a minute, in its cooldown only by a larger step."""
        policy = wish.policy
        if now - self._asked.get(policy["PolicyARN"], 0.0) < self.settings.minute:
            return False
        last = policy.get("moves", {}).get("out")
        if last is None or now - last["at"] >= self.settings.lasting(_cooldown(policy, is_out=True)):
            return True
        return bool(wish.count - current > last["by"])

    def _is_settled(self, wish: Wish, mine: list[Record], now: float) -> bool:
        """Say whether the target was let alone for the policy's cooldown.

        AWS counts from the last scale-in only; but there an alarm of a quarter of an hour, which has no data
        while there is no instance, keeps one that has just come.
        """
        times = [move["at"] for each in mine for move in each.get("moves", {}).values()]
        cooldown = _cooldown(wish.policy, is_out=False)
        return now - max(times, default=0.0) >= self.settings.lasting(cooldown)


def _count(policy: Record, alarm: Mapping[str, Any], verdict: alarms.Verdict, current: int) -> int:
    if policy["PolicyType"] == "StepScaling":
        return steps.wish(policy[STEPS], alarm, verdict.points, current)
    count = tracking.wish(policy[TRACKING], verdict.points[0], current)
    is_high = alarm["ComparisonOperator"].startswith("Greater")
    return max(count, current) if is_high else min(count, current)


def _cooldown(policy: Record, *, is_out: bool) -> float:
    if policy["PolicyType"] == "StepScaling":
        return steps.cooldown(policy[STEPS])
    return tracking.cooldown(policy[TRACKING], is_out=is_out)


def _cause(policy: Record, alarm: Mapping[str, Any]) -> str:
    return f"monitor alarm {alarm['AlarmName']} in state ALARM triggered policy {policy['PolicyName']}"


def _all_agree(mine: list[Record], less: list[Wish]) -> bool:
    """Say whether every tracking policy that may scale in asks for that."""
    asking = {each.policy["PolicyARN"] for each in less}
    return all(
        each["PolicyARN"] in asking
        for each in mine
        if each["PolicyType"] == "TargetTrackingScaling" and not each[TRACKING].get("DisableScaleIn")
    )
