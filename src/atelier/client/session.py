"""Where the product runs: boto3 clients of one account and region, local or real."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from atelier.client.errors import Problem

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_codebuild import CodeBuildClient
    from mypy_boto3_codecommit import CodeCommitClient
    from mypy_boto3_codepipeline import CodePipelineClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_stepfunctions import SFNClient


class Clients:
    """The boto3 clients that this package uses, each made at its first use.

    *is_local* tells the words to use for people (`atelier up` helps only here) and how often to look; no call
    depends on it.
    """

    def __init__(self, session: boto3.Session, *, endpoint: str | None, config: Config) -> None:
        self._session = session
        self.endpoint = endpoint
        self._config = config

    @property
    def is_local(self) -> bool:
        """Whether these clients talk to the local cloud."""
        return self.endpoint is not None

    @property
    def region(self) -> str:
        """The region's name."""
        return self._session.region_name

    @property
    def where(self) -> str:
        """The place, for people."""
        return "the local cloud" if self.is_local else f"AWS, region {self.region}"

    def _client(self, service: str) -> Any:
        return self._session.client(  # type: ignore[call-overload]
            service, endpoint_url=self.endpoint, config=self._config
        )

    @cached_property
    def apigateway(self) -> APIGatewayClient:
        """API Gateway."""
        return self._client("apigateway")  # type: ignore[no-any-return]

    @cached_property
    def awslambda(self) -> LambdaClient:
        """Lambda."""
        return self._client("lambda")  # type: ignore[no-any-return]

    @cached_property
    def cloudfront(self) -> Any:
        """CloudFront."""
        return self._client("cloudfront")

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """CloudFormation."""
        return self._client("cloudformation")  # type: ignore[no-any-return]

    @cached_property
    def codebuild(self) -> CodeBuildClient:
        """CodeBuild."""
        return self._client("codebuild")  # type: ignore[no-any-return]

    @cached_property
    def codecommit(self) -> CodeCommitClient:
        """CodeCommit."""
        return self._client("codecommit")  # type: ignore[no-any-return]

    @cached_property
    def codepipeline(self) -> CodePipelineClient:
        """CodePipeline."""
        return self._client("codepipeline")  # type: ignore[no-any-return]

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB."""
        return self._client("dynamodb")  # type: ignore[no-any-return]

    @cached_property
    def ec2(self) -> EC2Client:
        """EC2."""
        return self._client("ec2")  # type: ignore[no-any-return]

    @cached_property
    def ecr(self) -> ECRClient:
        """ECR."""
        return self._client("ecr")  # type: ignore[no-any-return]

    @cached_property
    def ecs(self) -> ECSClient:
        """ECS."""
        return self._client("ecs")  # type: ignore[no-any-return]

    @cached_property
    def iam(self) -> IAMClient:
        """IAM."""
        return self._client("iam")  # type: ignore[no-any-return]

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        """CloudWatch Logs."""
        return self._client("logs")  # type: ignore[no-any-return]

    @cached_property
    def s3(self) -> S3Client:
        """S3."""
        return self._client("s3")  # type: ignore[no-any-return]

    @cached_property
    def sagemaker(self) -> SageMakerClient:
        """SageMaker."""
        return self._client("sagemaker")  # type: ignore[no-any-return]

    @cached_property
    def secretsmanager(self) -> SecretsManagerClient:
        """Secrets Manager."""
        return self._client("secretsmanager")  # type: ignore[no-any-return]

    @cached_property
    def ssm(self) -> SSMClient:
        """Systems Manager's Parameter Store."""
        return self._client("ssm")  # type: ignore[no-any-return]

    @cached_property
    def stepfunctions(self) -> SFNClient:
        """Step Functions."""
        return self._client("stepfunctions")  # type: ignore[no-any-return]


def local(*, endpoint: str, access_key: str, secret_key: str, region: str) -> Clients:
    """Return the clients of a local cloud; no proxy of this machine comes between."""
    session = boto3.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region
    )
    return Clients(session, endpoint=endpoint, config=_local_config())


def here() -> Clients:
    """Return the clients of where the environment points, which is AWS unless it says AWS_ENDPOINT_URL."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    return Clients(boto3.Session(), endpoint=endpoint, config=_local_config()) if endpoint else aws()


def _local_config() -> Config:
    return Config(
        inject_host_prefix=False,
        proxies={},
        connect_timeout=5,
        retries={"mode": "standard"},
        s3={"addressing_style": "path"},
    )


def aws() -> Clients:
    """Return the clients of the account that the AWS environment or profile names."""
    # the SDK reads AWS_DEFAULT_REGION and profiles only; Lambda, the CLI and people set AWS_REGION
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    if session.region_name is None:
        raise Problem("no AWS region is set: export AWS_REGION, or choose a profile with AWS_PROFILE")
    config = Config(retries={"mode": "standard"}, ignore_configured_endpoint_urls=True)  # type: ignore[call-arg]
    return Clients(session, endpoint=None, config=config)
