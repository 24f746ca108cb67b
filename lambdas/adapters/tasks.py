"""The fleet's service, in ECS, and what its tasks wrote down."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atelier.contract import fleet
from atelier.lambdas.adapters import faults
from atelier.lambdas.domain.fleet import Sight
from atelier.lambdas.errors import NotFound

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_logs import CloudWatchLogsClient

SERVICE = "ECS"
COPIED = (
    *("family", "taskRoleArn", "executionRoleArn", "networkMode", "containerDefinitions", "volumes"),
    *("placementConstraints", "requiresCompatibilities", "cpu", "memory", "ephemeralStorage"),
    "runtimePlatform",
)
"""What a revision is made of; the rest of what ECS tells of one it adds itself."""

RESERVED = "aws:"
"""How tags begin that AWS sets itself, CloudFormation's among them; nobody else may."""

PAGES = 10

ERROR = "error: "
"""How a task's last line begins that could not serve its model."""


class EcsService:
    """The service, and the revisions of its task."""

    def __init__(
        self,
        client: ECSClient,
        logs: CloudWatchLogsClient,
        scaling: Any,
        *,
        cluster: str,
        service: str,
        parameter: str,
        log_group: str,
        fewest: int,
    ) -> None:
        self._client = client
        self._logs = logs
        self._scaling = scaling
        self._place: Any = {"cluster": cluster, "service": service}
        self._parameter = parameter
        self._log_group = log_group
        self._fewest = fewest

    def look(self) -> Sight:
        """Return what is deployed, and how far."""
        found = self._service()
        primary = next(each for each in found["deployments"] if each["status"] == "PRIMARY")
        failed = [each for each in found["deployments"] if each.get("rolloutState") == "FAILED"]
        return Sight(
            definition=primary["taskDefinition"],
            version=self._version(primary["taskDefinition"]),
            rollout=primary.get("rolloutState", ""),
            desired=found["desiredCount"],
            reason=next((each.get("rolloutStateReason", "") for each in failed), ""),
        )

    def _service(self) -> Any:
        with faults.patience(SERVICE):
            answer = self._client.describe_services(
                cluster=self._place["cluster"], services=[self._place["service"]]
            )
        if not answer["services"]:
            raise NotFound(f"ECS has no service {self._place['service']}: deploy the fleet again")
        return answer["services"][0]

    def _definition(self, arn: str) -> Any:
        with faults.patience(SERVICE):
            return self._client.describe_task_definition(taskDefinition=arn, include=["TAGS"])

    def _version(self, arn: str) -> int | None:
        _, colon, number = self._named(self._definition(arn)["taskDefinition"]).partition(":")
        return int(number) if colon else None

    def _named(self, definition: Any) -> str:
        return next(each["value"] for each in _variables(definition) if each["name"] == fleet.MODEL_PARAMETER)

    def deploy(self, version: int) -> str:
        """Make a revision that differs in the parameter's version alone, and have the service run it."""
        service = self._service()
        primary = next(each for each in service["deployments"] if each["status"] == "PRIMARY")
        found = self._definition(primary["taskDefinition"])
        definition = {
            name: found["taskDefinition"][name] for name in COPIED if name in found["taskDefinition"]
        }
        for each in _variables(definition):
            if each["name"] == fleet.MODEL_PARAMETER:
                each["value"] = f"{self._parameter}:{version}"
        own = [each for each in found.get("tags", []) if not each["key"].startswith(RESERVED)]
        tags: dict[str, Any] = {"tags": own} if own else {}
        with faults.patience(SERVICE):
            made = self._client.register_task_definition(**definition, **tags)
            arn = str(made["taskDefinition"]["taskDefinitionArn"])
            self._client.update_service(
                **self._place,
                taskDefinition=arn,
                desiredCount=max(service["desiredCount"], self._fewest),
                forceNewDeployment=True,
            )
        self._keep(self._fewest)
        return arn

    def _keep(self, fewest: int) -> None:
        """Have scaling keep so many tasks; without a model it must not start any."""
        with faults.patience("Application Auto Scaling"):
            self._scaling.register_scalable_target(
                ServiceNamespace="ecs",
                ResourceId=f"service/{self._place['cluster']}/{self._place['service']}",
                ScalableDimension="ecs:service:DesiredCount",
                MinCapacity=fewest,
            )

    def back(self, definition: str) -> None:
        """Have tasks run a revision of before."""
        with faults.patience(SERVICE):
            self._client.update_service(**self._place, taskDefinition=definition, forceNewDeployment=True)

    def rest(self) -> None:
        """Have no tasks."""
        self._keep(0)
        with faults.patience(SERVICE):
            self._client.update_service(**self._place, desiredCount=0)

    def last_words(self, since: str) -> str:
        """Return the last line that a task wrote about what was wrong; nothing when it cannot be read."""
        try:
            said = [each["message"].strip() for page in self._pages(since) for each in page["events"]]
        except ClientError:
            return ""  # the reason is for people; the deployment has failed without it
        return next((each.removeprefix(ERROR) for each in reversed(said) if each.startswith(ERROR)), "")

    def _pages(self, since: str) -> Iterator[Any]:
        """Search the log; a page may be empty with more behind it."""
        found: Any = {}
        for _ in range(PAGES):
            more = {"nextToken": found["nextToken"]} if found else {}
            found = self._logs.filter_log_events(
                logGroupName=self._log_group,
                startTime=int(datetime.fromisoformat(since).timestamp() * 1000),
                filterPattern=f'"{ERROR.strip()}"',
                **more,
            )
            yield found
            if "nextToken" not in found:
                return


def _variables(definition: Any) -> list[dict[str, str]]:
    """Return the variables of the container that serves."""
    found = next(each for each in definition["containerDefinitions"] if each["name"] == fleet.CONTAINER)
    variables: list[dict[str, str]] = found["environment"]
    return variables
