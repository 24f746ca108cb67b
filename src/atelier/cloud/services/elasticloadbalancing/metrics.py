"""What CloudWatch is told of load balancers, every few seconds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from atelier.cloud.services.elasticloadbalancing.exchange import GONE, Exchange
from atelier.cloud.services.elasticloadbalancing.pool import Group
from atelier.cloud.services.elasticloadbalancing.service import dimension

NAMESPACE = "AWS/ApplicationELB"
EVERY = 5.0

Dimensions = tuple[tuple[str, str], ...]
Value = tuple[str, float, Mapping[str, str]]
"""A metric's name, what to tell of it, and its dimensions."""

BY_ITSELF = {"redirect": "HTTP_Redirect_Count", "fixed-response": "HTTP_Fixed_Response_Count"}


class Tally:
    """Counts what has happened since it was told last."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Dimensions]] = Counter()
        self._times: defaultdict[Dimensions, list[float]] = defaultdict(list)
        self._per_group: Counter[str] = Counter()

    def add(self, exchange: Exchange) -> None:
        """Count one request."""
        alone = (("LoadBalancer", dimension(exchange.balancer)),)
        self._count("ProcessedBytes", alone, exchange.received + exchange.sent)
        if name := BY_ITSELF.get(exchange.action):
            self._count(name, alone)
        if exchange.target != "-":
            self._per_group[exchange.group] += 1
            for each in (alone, (*alone, ("TargetGroup", dimension(exchange.group)))):
                self._count_asked(exchange, each)
        if exchange.target_status is None and exchange.status != GONE:
            self._count_own(exchange, alone)

    def _count_asked(self, exchange: Exchange, where: Dimensions) -> None:
        """Count what a target was asked."""
        self._count("RequestCount", where)
        if exchange.target_status is not None:
            self._count(f"HTTPCode_Target_{exchange.target_status // 100}XX_Count", where)
            self._times[where].append(exchange.worked)
        if exchange.error == "TargetConnectionError":
            self._count("TargetConnectionErrorCount", where)

    def _count_own(self, exchange: Exchange, alone: Dimensions) -> None:
        """Count an answer that no target gave."""
        if exchange.status >= 300:
            self._count(f"HTTPCode_ELB_{exchange.status // 100}XX_Count", alone)
        if exchange.status in (500, 502, 503, 504):
            self._count(f"HTTPCode_ELB_{exchange.status}_Count", alone)

    def _count(self, name: str, dimensions: Dimensions, count: int = 1) -> None:
        self._counts[name, dimensions] += count

    def take(self, groups: Mapping[str, Group], users: Mapping[str, set[str]]) -> list[Value]:
        """Return what is to be told now, and begin anew; *users* are the groups' load balancers."""
        told: list[Value] = [(name, count, dict(where)) for (name, where), count in self._counts.items()]
        told += [
            ("TargetResponseTime", sum(times) / len(times), dict(where))
            for where, times in self._times.items()
        ]
        for arn, group in groups.items():
            told += self._of_group(group, sorted(users.get(arn, ())))
        self.__init__()  # type: ignore[misc]
        return told

    def _of_group(self, group: Group, users: list[str]) -> Iterator[Value]:
        """Tell how a group does: as long as it has targets, zero counts too."""
        if not group.targets:
            return
        healthy, own = group.count("healthy"), {"TargetGroup": dimension(group.arn)}
        for balancer in users:
            where = {"LoadBalancer": dimension(balancer), **own}
            yield "HealthyHostCount", healthy, where
            yield "UnHealthyHostCount", group.count("unhealthy") + group.count("initial"), where
            yield "RequestCountPerTarget", self._per_group[group.arn] / max(healthy, 1), where
        if users:
            yield "RequestCountPerTarget", self._per_group[group.arn] / max(healthy, 1), own
