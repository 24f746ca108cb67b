"""A container definition made into what an engine starts: image, secrets, volumes, log, as roles allow."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Cloud, Container, Mount, Refused
from atelier.cloud.services.ecs import sizes
from atelier.cloud.services.ecs.service import PRINCIPAL
from atelier.cloud.services.efs import volumes
from atelier.cloud.services.sagemaker import images
from atelier.cloud.services.sagemaker.access import Access, Log, RoleError
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record


class StartFailed(Exception):
    """A task that cannot start; the text is ECS's reason."""


class Maker:
    """Makes the containers of one task."""

    def __init__(self, cloud: Cloud, task: Record, definition: Record) -> None:
        self._cloud, self._task, self._definition = cloud, task, definition
        role = definition.get("executionRoleArn")
        self._access = Access(cloud, role, task["Id"], service=PRINCIPAL) if role else None

    def image(self, container: Document) -> images.Image:
        """Return the image by digest, as ECR has it for the execution role."""
        with self._acting("CannotPullContainerError", container["image"]) as access:
            try:
                with access.client("ecr") as ecr:
                    return images.resolve(ecr, container["image"])
            except images.ImageError as error:
                raise StartFailed(f"CannotPullContainerError: {error}") from error

    def log(self, container: Document) -> Log | None:
        """Open the container's log stream; a group that is not there is a reason not to start."""
        options = container.get("logConfiguration", {}).get("options")
        if not options:
            return None
        stream = f"{options['awslogs-stream-prefix']}/{container['name']}/{self._task['Id']}"
        with self._acting("ResourceInitializationError", "the log driver") as access:
            with access.client("logs") as logs:
                _make_stream(logs, options, stream)
            opened: Log = access.log(options["awslogs-group"], stream)
            return opened

    def make(
        self, container: Document, image: str, variables: Mapping[str, str], log: Callable[[str], None]
    ) -> Container:
        """Return what the engine is to start."""
        overrides = self._overrides(container["name"])
        ports = [each["containerPort"] for each in container["portMappings"]]
        environment = {
            **_pairs(container["environment"]),
            **self._secrets(container),
            **_pairs(overrides.get("environment", [])),
            **variables,
            **({"PORT": str(ports[0])} if ports else {}),
        }
        memory = container.get("memory") or overrides.get("memory")
        return Container(
            name=f"task-{self._definition['family']}-{container['name']}-{self._task['Id'][:8]}",
            image=image,
            entrypoint=tuple(container.get("entryPoint", ())),
            arguments=tuple(overrides.get("command") or container.get("command", ())),
            environment=environment,
            mounts=self._mounts(container),
            address=self._task["Address"],
            port=ports[0] if ports else None,
            size=sizes.size(self._task["cpu"], str(memory or self._task["memory"])),
            login=self._access.login if self._access else None,
            log=log,
        )

    def _overrides(self, name: str) -> Document:
        found = self._task["overrides"].get("containerOverrides", [])
        return next((each for each in found if each.get("name") == name), {})

    def _mounts(self, container: Document) -> tuple[Mount, ...]:
        known = {each["name"]: each.get("efsVolumeConfiguration") for each in self._definition["volumes"]}
        return tuple(
            self._mount(each, known[each["sourceVolume"]], is_read_only=each.get("readOnly", False))
            for each in container["mountPoints"]
        )

    def _mount(self, point: Document, efs: Document | None, *, is_read_only: bool) -> Mount:
        if efs is None:
            folder: Path = self._cloud.home / "ecs" / "volumes" / self._task["Id"] / point["sourceVolume"]
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        else:
            folder = self._directory(efs, is_read_only=is_read_only)
        return Mount(source=folder, target=point["containerPath"], is_read_only=is_read_only)

    def _directory(self, efs: Document, *, is_read_only: bool) -> Path:
        """Return what the task sees of a file system: by its network, its role and the access point."""
        access, network = efs.get("authorizationConfig", {}), self._task["Network"]
        try:
            volumes.reachable(
                self._cloud, efs["fileSystemId"], network["subnets"], network.get("securityGroups", [])
            )
            return volumes.directory(
                self._cloud,
                efs["fileSystemId"],
                access.get("accessPointId"),
                path=efs.get("rootDirectory", "/"),
                role_arn=self._definition.get("taskRoleArn") if access.get("iam") == "ENABLED" else None,
                is_encrypted=efs.get("transitEncryption") == "ENABLED",
                is_read_only=is_read_only,
            )
        except Refused as refused:
            why = f"failed to invoke EFS utils commands to set up EFS volumes: {refused}"
            raise StartFailed(f"ResourceInitializationError: {why}") from refused

    def _secrets(self, container: Document) -> dict[str, str]:
        found = container.get("secrets", [])
        if not found:
            return {}
        with self._acting("ResourceInitializationError", "secrets") as access:
            return {each["name"]: _secret(access, each["valueFrom"]) for each in found}

    def _acting(self, kind: str, what: str) -> _Acting:
        if self._access is None:
            raise StartFailed(f"{kind}: the task definition has no execution role, which {what} needs")
        return _Acting(self._access, kind)


class _Acting:
    """Turns what goes wrong as the execution role acts into the reason of a task."""

    def __init__(self, access: Access, kind: str) -> None:
        self._access, self._kind = access, kind

    def __enter__(self) -> Access:
        return self._access

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ClientError | BotoCoreError | RoleError | Refused):
            raise StartFailed(f"{self._kind}: {error}") from error


def _make_stream(logs: Any, options: Document, stream: str) -> None:
    group = options["awslogs-group"]
    if options.get("awslogs-create-group") == "true":
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)


def _secret(access: Access, source: str) -> str:
    if ":secretsmanager:" not in source:
        name = source.partition(":parameter")[2] if source.startswith("arn:") else source
        with access.client("ssm") as ssm:
            return str(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    parts = source.split(":")
    arn, (key, stage, version) = ":".join(parts[:7]), (*parts[7:], "", "", "")[:3]
    asked = {"VersionStage": stage, "VersionId": version}
    with access.client("secretsmanager") as manager:
        value = manager.get_secret_value(SecretId=arn, **{name: each for name, each in asked.items() if each})
    text = str(value["SecretString"])
    return str(json.loads(text)[key]) if key else text


def _pairs(rows: list[Document]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in rows}
