"""Middleware images: the build of the image that endpoints run."""

from __future__ import annotations

from troposphere import GetAtt, Output, Parameter, Ref, Sub, Template, codebuild, iam, logs

from atelier.templates import parts
from atelier.templates.middleware_parts import REPOSITORY_URI
from atelier.templates.parts import allow, arn, objects

REPOSITORY = Parameter(
    "DiffusionRepositoryName", Type="String", Description="The repository of the images of endpoints."
)
SOURCE = Parameter(
    "ImageSourceKey", Type="String", Description="Key of what the image is built from; names its hash."
)
BUILD_MINUTES = 60


def template() -> Template:
    """Render the stack that builds the middleware's images."""
    t = parts.stack(__doc__ or "", parts.PREFIX, parts.CODE_BUCKET, SOURCE, REPOSITORY, REPOSITORY_URI)
    group = t.add_resource(parts.log_group("BuildLog"))
    service = t.add_resource(role(group))
    built = t.add_resource(project(group, service))
    t.add_output(Output("ImageProjectName", Value=Ref(built)))
    return parts.tagged(t, "middleware-images")


def project(group: logs.LogGroup, service: iam.Role) -> codebuild.Project:
    """Build one image from one zip, under a tag that names the zip's content."""
    variables = {"RepositoryUri": Ref(REPOSITORY_URI)}
    return codebuild.Project(
        "Build",
        Description="Builds the image of endpoints",
        ServiceRole=GetAtt(service, "Arn"),
        Source=codebuild.Source(
            Type="S3",
            Location=Sub(f"${{{parts.CODE_BUCKET.title}}}/${{{SOURCE.title}}}"),
            BuildSpec="buildspecs/diffusion.yml",
        ),
        Artifacts=codebuild.Artifacts(Type="NO_ARTIFACTS"),
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
        TimeoutInMinutes=BUILD_MINUTES,
    )


def role(group: logs.LogGroup) -> iam.Role:
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
        allow(pushing, arn("ecr", f"repository/${{{REPOSITORY.title}}}")),
    )
