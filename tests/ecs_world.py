"""An ECS under test: real tasks of small Python programs, a real load balancer, everything else a fake."""

from __future__ import annotations

import hashlib
import json
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fakes import FakeEvents, FakeIdentity, FakeMetrics
from sagemaker_world import REGISTRY, FakeEcr, ScriptEngine, ScriptRunning, WorldCloud

from atelier.cloud.context import Container
from atelier.cloud.services.ecs.plugin import PLUGIN
from atelier.cloud.services.elasticloadbalancing import live as balancing_live
from atelier.cloud.services.elasticloadbalancing.plugin import PLUGIN as BALANCING
from atelier.cloud.services.elasticloadbalancing.service import groups
from atelier.cloud.store import Store

ROLE = "arn:aws:iam::000000000000:role/fleet"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
SETTINGS = {
    "interval": 0.05,
    "stop_timeout": 2,
    "settle": 0.1,
    "second": 0.02,
    "restart_delay": 0.05,
    "restart_delay_limit": 0.5,
    "shutdown_grace": 1,
    "drain_limit": 5,
}

SERVE = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(0.5)
        status = 200 if HEALTHY else 503
        body = VERSION.encode() if self.path != "/pid" else str(os.getpid()).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer((os.environ["BIND_HOST"], int(os.environ["PORT"])), Handler)
server.serve_forever()
"""


class TaskEngine(ScriptEngine):
    """Runs Python programs by image, at the address that they are given."""

    def start(self, container: Container) -> ScriptRunning:
        environment = {**container.environment, "BIND_HOST": container.address}
        return super().start(replace(container, environment=environment))


@dataclass
class EcsWorld:
    """The services, their cloud, and what a test needs to use them."""

    home: Path
    settings: dict[str, Any] = field(default_factory=dict)
    events: FakeEvents = field(default_factory=FakeEvents)

    def __post_init__(self) -> None:
        self.write_settings()
        self.engine = TaskEngine()
        self.metrics, self.identity = FakeMetrics(), FakeIdentity()
        self.cloud = WorldCloud(
            home=self.home,
            endpoint="http://127.0.0.1:1",
            account="000000000000",
            region="us-east-1",
            store=Store(self.home / "atelier.sqlite"),
            identity=self.identity,
            events=self.events,
            metrics=self.metrics,
            engine=self.engine,
            ecr=FakeEcr(),
        )
        self.up()

    def write_settings(self) -> None:
        """Let the next start of the services take the world's settings."""
        (self.home / "ecs.json").write_text(json.dumps({**SETTINGS, **self.settings}))

    def up(self) -> None:
        """Start the services, as a cloud that begins does."""
        for plugin in (BALANCING, PLUGIN):
            if plugin.service.start:
                plugin.service.start(self.cloud)

    def down(self) -> None:
        """Stop the services."""
        for plugin in (PLUGIN, BALANCING):
            if plugin.service.stop:
                plugin.service.stop(self.cloud)

    def close(self) -> None:
        self.down()
        self.engine.close()
        self.cloud.store.close()

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call ECS as an SDK does."""
        return PLUGIN.service.call(self.cloud, operation, request)

    def balance(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call Elastic Load Balancing as an SDK does."""
        return BALANCING.service.call(self.cloud, operation, request)

    def image(self, name: str, source: str) -> str:
        """Make an image that runs *source*; return its URI with a tag."""
        source = textwrap.dedent(source)
        digest = f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"
        self.cloud.ecr.digests[name, "1"] = digest
        self.engine.scripts[f"{REGISTRY}/{name}@{digest}"] = source
        return f"{REGISTRY}/{name}:1"

    def serving(self, version: str, *, healthy: bool = True) -> str:
        """Make an image that answers with *version*."""
        return self.image(version, f"VERSION, HEALTHY = {version!r}, {healthy}\n{SERVE}")

    def define(
        self,
        image: str,
        family: str = "app",
        *,
        volumes: Sequence[dict[str, Any]] = (),
        containers: Sequence[dict[str, Any]] = (),
        **more: Any,
    ) -> str:
        """Register a task definition of one container, and others beside it; return its ARN."""
        container = {"name": "main", "image": image, "portMappings": [{"containerPort": 8080}], **more}
        made = self.call(
            "RegisterTaskDefinition",
            family=family,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            executionRoleArn=ROLE,
            taskRoleArn=ROLE,
            containerDefinitions=[container, *containers],
            volumes=list(volumes),
        )
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def cluster(self) -> None:
        self.call("CreateCluster", clusterName="c")

    def group(self, **more: Any) -> tuple[str, str]:
        """Make a target group behind a load balancer; return its ARN and the balancer's address."""
        made = self.balance(
            "CreateTargetGroup",
            **{
                "Name": "g", "Protocol": "HTTP", "Port": 8080, "TargetType": "ip", "VpcId": "vpc-1",
                "HealthCheckPath": "/ping", "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2,
                "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 10, **more,
            },
        )  # fmt: skip
        group = made["TargetGroups"][0]["TargetGroupArn"]
        self.balance("ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=[
            {"Key": "deregistration_delay.timeout_seconds", "Value": "1"}])  # fmt: skip
        made = self.balance(
            "CreateLoadBalancer", Name="b", Subnets=["subnet-1", "subnet-2"], Type="application"
        )
        balancer = made["LoadBalancers"][0]
        actions = [{"Type": "forward", "TargetGroupArn": group}]
        self.balance("CreateListener", LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
                     DefaultActions=actions)  # fmt: skip
        self._hasten(group)
        return group, balancer["DNSName"]

    def _hasten(self, group: str) -> None:
        """Check health far more often than AWS allows."""
        record = groups(self.cloud).get(group)
        groups(self.cloud).change(group, HealthCheck={**record["HealthCheck"], "IntervalSeconds": 0.3})
        balancing_live.of(self.cloud).refresh()

    def serve(self, definition: str, name: str = "s", **more: Any) -> dict[str, Any]:
        """Create a service."""
        usual = {"cluster": "c", "serviceName": name, "taskDefinition": definition, "desiredCount": 1}
        request = {**usual, "launchType": "FARGATE", "networkConfiguration": NETWORK, **more}
        made = self.call("CreateService", **{key: each for key, each in request.items() if each is not None})
        return dict(made["service"])

    def run(self, definition: str, **more: Any) -> dict[str, Any]:
        """Run a task that no service wants."""
        place = {"launchType": "FARGATE", "networkConfiguration": NETWORK}
        return self.call("RunTask", cluster="c", taskDefinition=definition, **place, **more)

    def task(self, task: dict[str, Any]) -> dict[str, Any]:
        return dict(self.call("DescribeTasks", cluster="c", tasks=[task["taskArn"]])["tasks"][0])

    def service(self, name: str = "s") -> dict[str, Any]:
        return dict(self.call("DescribeServices", cluster="c", services=[name])["services"][0])

    def settled(self, name: str = "s") -> dict[str, Any]:
        """Wait until the service has one deployment, which has ended one way or the other."""
        return self.until(lambda: self.service(name), is_settled)

    def tasks(self, status: str = "RUNNING", name: str = "s") -> list[dict[str, Any]]:
        """The service's tasks that shall be in *status*."""
        arns = self.call("ListTasks", cluster="c", serviceName=name, desiredStatus=status)["taskArns"]
        return list(self.call("DescribeTasks", cluster="c", tasks=arns)["tasks"]) if arns else []

    def told(self, kind: str, count: int) -> list[dict[str, Any]]:
        """The details of the events of one kind, when there are so many."""

        def told() -> list[dict[str, Any]]:
            published = list(self.events.published)
            return [each["detail"] for each in published if each["detail-type"] == kind]

        return list(self.until(told, lambda seen: len(seen) >= count))

    def until(self, look: Callable[[], Any], is_so: Callable[[Any], bool], patience: float = 60) -> Any:
        """Look again and again until it is so."""
        deadline = time.monotonic() + patience
        while not is_so(seen := look()):
            assert time.monotonic() < deadline, seen
            time.sleep(0.02)
        return seen


def is_settled(service: dict[str, Any]) -> bool:
    """Say whether there is one deployment, which is complete."""
    return [each["rolloutState"] for each in service["deployments"]] == ["COMPLETED"]


def ask(address: str, path: str = "/") -> tuple[int, str]:
    """Ask a load balancer or a task; return status and body."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
