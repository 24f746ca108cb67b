"""The image of endpoints: what it is built from, and when."""

from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from atelier.client.errors import Problem, Refusal
from atelier.client.images import ALONE, ENDPOINTS, Images, sources
from atelier.deploy import CHECKOUT, image_source

DIGEST = "sha256:" + "0" * 64


class World:
    """A repository and a build that pushes to it, unless it *fails*."""

    def __init__(self, *tags, status="SUCCEEDED", pushes=True):
        self.tags, self.status, self.pushes, self.builds = set(tags), status, pushes, []
        self.ecr = SimpleNamespace(describe_images=self.describe)
        self.codebuild = SimpleNamespace(start_build=self.start, batch_get_builds=self.look)

    def describe(self, repositoryName, imageIds):
        if imageIds[0]["imageTag"] not in self.tags:
            raise ClientError({"Error": {"Code": "ImageNotFoundException"}}, "DescribeImages")
        return {"imageDetails": [{"imageDigest": DIGEST}]}

    def start(self, projectName, environmentVariablesOverride):
        self.builds.append(environmentVariablesOverride[0]["value"])
        return {"build": {"id": "build:1", "buildStatus": "IN_PROGRESS"}}

    def look(self, ids):
        if self.pushes:
            self.tags |= set(self.builds)
        context = {"statusCode": "COMMAND_EXECUTION_ERROR", "message": "docker: no space"}
        phases = [{"phaseType": "BUILD", "contexts": [context]}] if self.status == "FAILED" else []
        found = {"id": ids[0], "buildStatus": self.status, "phases": phases, "logs": {"groupName": "g"}}
        return {"builds": [found]}


def images(world):
    return Images(clients=world, repository="r", uri="host/r", project="p", sleep=lambda seconds: None)


def test_an_image_that_is_there_is_not_built_again():
    world = World("7")

    assert f"host/r@{DIGEST}" == images(world).of("7")
    assert [] == world.builds


def test_an_image_that_is_not_there_is_built_and_told_of():
    world, told = World(), []

    assert f"host/r@{DIGEST}" == images(world).of("7", begins=lambda: told.append("begins"))
    assert (["7"], ["begins"]) == (world.builds, told)


def test_a_build_that_fails_says_why_and_where_its_log_is():
    with pytest.raises(Refusal, match=r"build:1 is FAILED: docker: no space \(log group g\)"):
        images(World(status="FAILED", pushes=False)).of("7")


def test_a_build_that_pushes_nothing_is_no_success():
    with pytest.raises(Refusal, match="pushed no r:7"):
        images(World(pushes=False)).of("7")


def test_other_answers_of_the_registry_are_not_taken_for_an_absent_image():
    world = World()
    world.ecr.describe_images = lambda **request: (_ for _ in ()).throw(
        ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeImages")
    )

    with pytest.raises(ClientError, match="AccessDenied"):
        images(world).of("7")


def test_the_source_is_the_images_folder_with_what_builds_it():
    found = sources(CHECKOUT)

    assert set(ALONE) | {f"{ENDPOINTS.folder}/Dockerfile"} <= found.keys()
    assert not [name for name in found if "__pycache__" in name]
    assert image_source() == image_source()


def test_without_a_checkout_the_way_out_is_told(tmp_path):
    with pytest.raises(Problem, match="EndpointImage=URI"):
        sources(tmp_path)
