"""The build of one image from one zip, under a tag that names the zip's content."""

from __future__ import annotations

from dataclasses import dataclass

from troposphere import GetAtt, Parameter, Ref, Sub, Template, codebuild, iam, logs

from atelier.templates import parts
from atelier.templates.parts import allow, arn, objects

BUILD_MINUTES = 60


@dataclass(frozen=True, kw_only=True)
class Build:
    """What is built from what, and where it goes."""

    description: str
    buildspec: str
    source: Parameter
    repository: Parameter
    uri: Parameter


def add(t: Template, build: Build) -> codebuild.Project:
    """Add the project that builds, with its role and its log."""
    group = t.add_resource(parts.log_group("BuildLog"))
    service = t.add_resource(role(build, group))
    return t.add_resource(project(build, group, service))


def project(build: Build, group: logs.LogGroup, service: iam.Role) -> codebuild.Project:
    """Build one image from one zip."""
    return codebuild.Project(
        "Build",
        Description=build.description,
        ServiceRole=GetAtt(service, "Arn"),
        Source=codebuild.Source(
            Type="S3",
            Location=Sub(f"${{{parts.CODE_BUCKET.title}}}/${{{build.source.title}}}"),
            BuildSpec=build.buildspec,
        ),
        Artifacts=codebuild.Artifacts(Type="NO_ARTIFACTS"),
        Environment=codebuild.Environment(
            Type="LINUX_CONTAINER",
            ComputeType="BUILD_GENERAL1_MEDIUM",
            Image="aws/codebuild/standard:7.0",
            PrivilegedMode=True,
            EnvironmentVariables=[codebuild.EnvironmentVariable(Name="RepositoryUri", Value=Ref(build.uri))],
        ),
        Cache=codebuild.ProjectCache(Type="LOCAL", Modes=["LOCAL_DOCKER_LAYER_CACHE"]),
        LogsConfig=codebuild.LogsConfig(
            CloudWatchLogs=codebuild.CloudWatchLogs(Status="ENABLED", GroupName=Ref(group))
        ),
        TimeoutInMinutes=BUILD_MINUTES,
    )


def role(build: Build, group: logs.LogGroup) -> iam.Role:
    """Let the build read its source, push to the one repository, and log."""
    pushing = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImages",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
    ]
    return parts.role(
        "BuildRole",
        "codebuild.amazonaws.com",
        parts.writes(group),
        allow(["s3:GetObject", "s3:GetObjectVersion"], *objects(parts.CODE_BUCKET, "sources/*")),
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(pushing, arn("ecr", f"repository/${{{build.repository.title}}}")),
    )
