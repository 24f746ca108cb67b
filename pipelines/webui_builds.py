"""What the WebUI's pipeline builds and tests with: two projects of CodeBuild on this repository's source."""

from __future__ import annotations

from troposphere import GetAtt, Parameter, Ref, Sub, Template, codebuild, iam, logs

from atelier.contract import webui
from atelier.templates import parts
from atelier.templates.parts import Statement, Text, allow, arn, objects
from atelier.templates.webui_state import PARAMETERS

REPOSITORY = Parameter(
    "WebuiRepositoryName", Type="String", Description="The repository of the WebUI's images."
)
REPOSITORY_URI = Parameter(
    "WebuiRepositoryUri", Type="String", Description="Where the WebUI's images are pushed to, as ECR says it."
)
BASE_IMAGE = Parameter(
    "WebuiBaseImage",
    Type="String",
    Default="public.ecr.aws/docker/library/python:3.11-slim-bookworm",
    Description="What the WebUI's image is built on: a Python that the WebUI runs on.",
)
ACCELERATOR = Parameter(
    "WebuiAccelerator",
    Type="String",
    Default="cpu",
    AllowedValues=["cpu", "cuda"],
    Description="What the WebUI's image computes with; with endpoints of the middleware, cpu is enough.",
)

PULL = ("BatchCheckLayerAvailability", "BatchGetImage", "DescribeImages", "GetDownloadUrlForLayer")
PUSH = ("CompleteLayerUpload", "InitiateLayerUpload", "PutImage", "UploadLayerPart")


def build(t: Template) -> codebuild.Project:
    """Build the image of an upstream commit with our extension, and push it under a tag of both commits."""
    may = allow([f"ecr:{each}" for each in (*PULL, *PUSH)], _repository())
    return _project(t, "Build", "buildspecs/webui.yml", may, minutes=120, why="Builds the WebUI's image")


def test(t: Template) -> codebuild.Project:
    """Start the image as its users do, and measure it."""
    may = allow([f"ecr:{each}" for each in PULL], _repository())
    return _project(t, "Test", "buildspecs/webui-test.yml", may, minutes=60, why="Tries the WebUI's image")


def _repository() -> Text:
    return arn("ecr", f"repository/${{{REPOSITORY.title}}}")


def _project(
    t: Template, title: str, buildspec: str, may: Statement, *, minutes: int, why: str
) -> codebuild.Project:
    group = t.add_resource(parts.log_group(f"{title}Log"))
    service = t.add_resource(role(title, group, may))
    variables: dict[str, Text] = {
        "RepositoryUri": Ref(REPOSITORY_URI),
        "RepositoryName": Ref(REPOSITORY),
        "ParameterPath": Sub(PARAMETERS),
        "BASE_IMAGE": Ref(BASE_IMAGE),
        "ACCELERATOR": Ref(ACCELERATOR),
    }
    return t.add_resource(
        codebuild.Project(
            title,
            Description=why,
            ServiceRole=GetAtt(service, "Arn"),
            Source=codebuild.Source(Type="CODEPIPELINE", BuildSpec=buildspec),
            Artifacts=codebuild.Artifacts(Type="CODEPIPELINE"),
            Environment=codebuild.Environment(
                Type="LINUX_CONTAINER",
                ComputeType="BUILD_GENERAL1_MEDIUM",
                Image="aws/codebuild/standard:7.0",
                PrivilegedMode=True,
                EnvironmentVariables=[
                    codebuild.EnvironmentVariable(Name=name, Value=value) for name, value in variables.items()
                ],
            ),
            Cache=codebuild.ProjectCache(Type="LOCAL", Modes=["LOCAL_DOCKER_LAYER_CACHE"]),
            LogsConfig=codebuild.LogsConfig(
                CloudWatchLogs=codebuild.CloudWatchLogs(Status="ENABLED", GroupName=Ref(group))
            ),
            TimeoutInMinutes=minutes,
        )
    )


def role(title: str, group: logs.LogGroup, may: Statement) -> iam.Role:
    """Let a project read its source and what the latest good image is, and do what it *may* with images."""
    known = [
        arn("ssm", f"parameter{PARAMETERS}/{each}") for each in (webui.IMAGE, webui.COMMIT, webui.PROVENANCE)
    ]
    return parts.role(
        f"{title}Role",
        "codebuild.amazonaws.com",
        parts.writes(group),
        allow(["s3:GetObject", "s3:GetObjectVersion"], *objects(parts.ARTIFACT_BUCKET)),
        allow(["ssm:GetParameter"], *known),
        allow(["ecr:GetAuthorizationToken"], "*"),
        may,
    )
