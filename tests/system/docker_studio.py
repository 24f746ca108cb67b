"""An installation whose containers are Docker's, worked on with the clients that people have."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import workshop as shop
from engine_door import Door, docker_api
from shell import Shell

from atelier import demo
from atelier.client.models import Version
from atelier.client.outputs import output
from atelier.client.pipelines import Execution
from atelier.cloud.engines.docker.engine import LABEL
from atelier.cloud.engines.docker.engine import label as label_of
from atelier.cloud.gateway import launch

URL = (
    "aws codecommit get-repository --repository-name atelier"
    " --query repositoryMetadata.cloneUrlHttp --output text"
)
TOKEN = (
    f"aws codepipeline get-pipeline-state --name {shop.PIPELINE} --output text"
    " --query \"stageStates[?stageName=='Approve'].actionStates[0].latestExecution.token\""
)
DECIDE = (
    f"aws codepipeline put-approval-result --pipeline-name {shop.PIPELINE} --stage-name Approve"
    ' --action-name Approve --result "status=$STATUS,summary=$WHY" --token "$TOKEN"'
)


@dataclass
class Studio(shop.Workshop):
    """A workshop with a door to its engine, and a shell."""

    door: Door = field(kw_only=True)
    shell: Shell = field(kw_only=True)

    @property
    def uri(self) -> str:
        """The repository of the images."""
        return output(self.clients, "atelier-registry", "ImageRepositoryUri")

    @property
    def stable(self) -> Version:
        """The first version, which still serves."""
        assert self.version is not None
        return self.version

    def push_by_hand(self) -> Execution:
        """Push the head with git; return the run when it waits for a person, or has ended."""
        before = self.pipelines.latest(shop.PIPELINE)
        self.shell.says(f'cd "$FOLDER"\ngit push --quiet "$({URL})" HEAD:main', FOLDER=str(self.folder))
        head = self.shell.says('cd "$FOLDER"\ngit rev-parse HEAD', FOLDER=str(self.folder))
        return self.run(demo.started(self.pipelines, shop.PIPELINE, before, head), approve=None)

    def decide_by_hand(self, run: str, status: str, why: str) -> Execution:
        """Approve or reject with the AWS CLI; return the run at its end."""
        self.shell.says(DECIDE, STATUS=status, WHY=why, TOKEN=self.shell.says(TOKEN))
        return self.run(run, approve=None)

    def tags(self) -> set[str]:
        """The tags that ECR knows."""
        images = self.clients.ecr.describe_images(repositoryName=self.uri.partition("/")[2])
        return {tag for each in images["imageDetails"] for tag in each.get("imageTags", [])}

    def stop_engine(self) -> None:
        """Do what a stop of the engine does to this cloud: no answer any more, and no container."""
        assert self.home is not None
        self.door.shut()
        with docker_api() as api:
            for each in api.containers(filters={"label": f"{LABEL}={label_of(self.home)}"}):
                api.kill(each["Id"])


def make(place: Path, door: Door) -> Studio:
    """Deploy the stacks on a cloud that goes to its engine by the door."""
    home = place / "home"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DOCKER_HOST", door.host)
        made = shop.make(launch.start(home, engine="docker"), place)
    shell = Shell(launch.connection(home), place / "person")
    return Studio(clients=made.clients, folder=made.folder, home=home, door=door, shell=shell)


def forget(uri: str) -> None:
    """Remove the images of a repository from the engine."""
    listed = subprocess.check_output(
        ["docker", "images", "--quiet", "--filter", f"reference={uri}"], text=True
    )
    if images := set(listed.split()):
        subprocess.run(["docker", "rmi", "--force", *images], capture_output=True, check=True)
