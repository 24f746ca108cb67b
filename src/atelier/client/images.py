"""The images that are built on the way of a deployment: what each is built from, and its build."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.client.errors import Problem, Refusal

if TYPE_CHECKING:
    from mypy_boto3_codebuild.type_defs import BuildTypeDef

    from atelier.client.session import Clients

ALONE = ("images/training/choose_lock.py", "images/training/publish.py")
NOT_SOURCE = frozenset({"__pycache__", ".pytest_cache"})


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An image by what it is for: what builds it of what, and the names of its parameters and outputs."""

    told: str
    stack: str
    folder: str
    buildspec: str
    parameter: str
    source: str
    repository: str
    uri: str
    project: str


ENDPOINTS = Kind(
    told="the image of endpoints",
    stack="middleware-images",
    folder="images/training/diffusion",
    buildspec="buildspecs/diffusion.yml",
    parameter="EndpointImage",
    source="ImageSourceKey",
    repository="DiffusionRepositoryName",
    uri="DiffusionRepositoryUri",
    project="ImageProjectName",
)
FLEET = Kind(
    told="the image of the fleet",
    stack="fleet-images",
    folder="images/training/gpt_neo",
    buildspec="buildspecs/fleet.yml",
    parameter="FleetImage",
    source="FleetSourceKey",
    repository="ImageRepositoryName",
    uri="ImageRepositoryUri",
    project="FleetImageProjectName",
)
KINDS = (ENDPOINTS, FLEET)


def sources(root: Path, kind: Kind = ENDPOINTS) -> dict[str, bytes]:
    """Return the files that an image is built from; raise Problem where they are not."""
    paths = [root / each for each in (*ALONE, kind.buildspec)]
    paths += sorted(
        each
        for each in (root / kind.folder).rglob("*")
        if each.is_file() and not NOT_SOURCE & set(each.parts)
    )
    try:
        return {str(each.relative_to(root)): each.read_bytes() for each in paths}
    except FileNotFoundError as error:
        raise Problem(
            f"{error.filename} is not there: build the image from a checkout, or name one with"
            f" -p {kind.parameter}=URI"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of one repository, and the project that builds them."""

    clients: Clients
    repository: str
    uri: str
    project: str
    sleep: Callable[[float], None] = time.sleep

    def of(self, tag: str, *, begins: Callable[[], None] = lambda: None) -> str:
        """Return the image of a tag by its digest, built when it is not there."""
        found = self._digest(tag)
        if found is None:
            begins()
            self._build(tag)
            found = self._digest(tag)
        if found is None:
            raise Refusal(f"the build of {self.project} succeeded, and pushed no {self.repository}:{tag}")
        return f"{self.uri}@{found}"

    def _digest(self, tag: str) -> str | None:
        try:
            found = self.clients.ecr.describe_images(
                repositoryName=self.repository, imageIds=[{"imageTag": tag}]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ImageNotFoundException":
                return None
            raise
        return found["imageDetails"][0]["imageDigest"]

    def _build(self, tag: str) -> None:
        """Build it and wait; raise Refusal with what went wrong."""
        made = self.clients.codebuild.start_build(
            projectName=self.project,
            environmentVariablesOverride=[{"name": "IMAGE_TAG", "value": tag, "type": "PLAINTEXT"}],
        )["build"]
        while made["buildStatus"] == "IN_PROGRESS":
            self.sleep(2)
            made = self.clients.codebuild.batch_get_builds(ids=[made["id"]])["builds"][0]
        if made["buildStatus"] != "SUCCEEDED":
            raise Refusal(f"the build {made['id']} is {made['buildStatus']}: {_reason(made)}")


def _reason(build: BuildTypeDef) -> str:
    contexts = [each for phase in build.get("phases", []) for each in phase.get("contexts", [])]
    words = next((each["message"] for each in contexts if each.get("message")), "no reason is given")
    group = build.get("logs", {}).get("groupName")
    return f"{words} (log group {group})" if group else words
