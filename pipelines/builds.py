"""The training pipeline's build: an image, the functions and the templates from one commit."""

from __future__ import annotations

from troposphere import GetAtt, Parameter, Ref, Template, codebuild, iam, logs

from atelier.templates import parts
from atelier.templates.parts import allow, arn, bucket_arn, objects

IMAGE_REPOSITORY_URI = Parameter(
    "ImageRepositoryUri", Type="String", Description="Where images are pushed to, as ECR says it."
)


def project(t: Template) -> codebuild.Project:
    """Build the image by digest, the functions' zip and the templates, from one commit."""
    group = t.add_resource(parts.log_group("BuildLog"))
    service = t.add_resource(role(group))
    variables = {
        "RepositoryUri": Ref(IMAGE_REPOSITORY_URI),
        "CodeBucket": Ref(parts.CODE_BUCKET),
    }
    return codebuild.Project(
        "Build",
        Description="Builds the training image, the functions and the templates",
        ServiceRole=GetAtt(service, "Arn"),
        Source=codebuild.Source(Type="CODEPIPELINE", BuildSpec="buildspecs/training.yml"),
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
        TimeoutInMinutes=60,
    )


def role(group: logs.LogGroup) -> iam.Role:
    """Let the build push images, upload code under its content's key, and hand on artifacts."""
    return parts.role(
        "BuildRole",
        "codebuild.amazonaws.com",
        parts.writes(group),
        allow(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], *objects(parts.ARTIFACT_BUCKET)),
        allow(["s3:GetObject", "s3:PutObject"], *objects(parts.CODE_BUCKET)),
        allow(["s3:ListBucket"], bucket_arn(parts.CODE_BUCKET)),
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:CompleteLayerUpload",
                "ecr:DescribeImages",
                "ecr:GetDownloadUrlForLayer",
                "ecr:InitiateLayerUpload",
                "ecr:PutImage",
                "ecr:UploadLayerPart",
            ],
            arn("ecr", "repository/${ImageRepositoryName}"),
        ),
    )
