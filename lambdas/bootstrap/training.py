"""Wiring of the training pipeline's functions and the serving API."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from atelier.contract import fleet
from atelier.contract.events import MODEL
from atelier.contract.settings import (
    FlowSettings,
    PublishSettings,
    RegisterSettings,
    RejectSettings,
    ServingSettings,
    StartFlowSettings,
    from_environment,
)
from atelier.contract.values import Value
from atelier.lambdas.adapters.codepipeline import JobReports, PipelineApprovals
from atelier.lambdas.adapters.feeds import FleetFeed
from atelier.lambdas.adapters.flows import StateMachine
from atelier.lambdas.adapters.registry import DynamoRegistry
from atelier.lambdas.adapters.sagemaker import EndpointPrompts, SageMakerEndpoints
from atelier.lambdas.adapters.stacks import CloudFormationStacks
from atelier.lambdas.adapters.storage import DataBucket, S3Artifacts
from atelier.lambdas.bootstrap import LONG, PATIENCE, client
from atelier.lambdas.ports.training import (
    Approvals,
    Artifacts,
    Endpoints,
    Feed,
    Flows,
    Prompts,
    Registry,
    Reports,
    Stacks,
    TrainingData,
)


class StartFlow(Value):
    """What `start_flow` works with."""

    flows: Flows
    data: TrainingData


@cache
def start_flow() -> StartFlow:
    """Wire what starts and follows the flow."""
    settings = from_environment(StartFlowSettings)
    return StartFlow(
        flows=StateMachine(client("stepfunctions"), settings.state_machine_arn),
        data=DataBucket(client("s3"), settings.data_bucket),
    )


class Register(Value):
    """What `register` works with."""

    pipeline: str
    registry: Registry
    approvals: Approvals


@cache
def register() -> Register:
    """Wire what approves a version."""
    settings = from_environment(RegisterSettings)
    return Register(
        pipeline=settings.pipeline,
        registry=_registry(settings.model_table),
        approvals=PipelineApprovals(client("codepipeline")),
    )


class Publish(Value):
    """What `publish` works with."""

    stable: str
    candidate: str
    stack: str
    parameters: Mapping[str, str]
    registry: Registry
    endpoints: Endpoints
    stacks: Stacks
    feed: Feed | None


@cache
def publish() -> Publish:
    """Wire what moves the stable endpoint and the serving API."""
    settings = from_environment(PublishSettings)
    bucket = settings.fleet_bucket
    return Publish(
        stable=settings.stable_endpoint,
        candidate=settings.candidate_endpoint,
        stack=settings.serving_stack,
        parameters={
            "Prefix": settings.prefix,
            "CodeBucketName": settings.code_bucket,
            "ModelTableName": settings.model_table,
        },
        registry=_registry(settings.model_table),
        endpoints=SageMakerEndpoints(client("sagemaker")),
        stacks=CloudFormationStacks(
            client("cloudformation"),
            client("s3"),
            bucket=settings.code_bucket,
            role_arn=settings.serving_role_arn,
            tags={"atelier:installation": settings.prefix},
        ),
        feed=None if bucket == fleet.NO_BUCKET else FleetFeed(client("s3", config=LONG), bucket),
    )


class Reject(Value):
    """What `reject` works with."""

    candidate: str
    flows: Flows
    registry: Registry
    endpoints: Endpoints


@cache
def reject() -> Reject:
    """Wire what takes back a run."""
    settings = from_environment(RejectSettings)
    return Reject(
        candidate=settings.candidate_endpoint,
        flows=StateMachine(client("stepfunctions"), settings.state_machine_arn),
        registry=_registry(settings.model_table),
        endpoints=SageMakerEndpoints(client("sagemaker")),
    )


class Flow(Value):
    """What the flow's functions work with; each client is made by the function that first needs it."""

    candidate: str
    registry: Registry

    def endpoints(self) -> Endpoints:
        """Return SageMaker's endpoints."""
        return SageMakerEndpoints(client("sagemaker"))

    def prompts(self) -> Prompts:
        """Return the models behind endpoints."""
        return EndpointPrompts(client("sagemaker-runtime"))

    def artifacts(self) -> Artifacts:
        """Return the model artefacts."""
        return S3Artifacts(client("s3"))


@cache
def flow() -> Flow:
    """Wire what the states of the flow share."""
    settings = from_environment(FlowSettings)
    return Flow(candidate=settings.candidate_endpoint, registry=_registry(settings.model_table))


class Serving(Value):
    """What the serving API works with."""

    endpoint: str
    prompts: Prompts
    registry: Registry


@cache
def serving() -> Serving:
    """Wire what answers the API's requests."""
    settings = from_environment(ServingSettings)
    return Serving(
        endpoint=settings.stable_endpoint,
        prompts=EndpointPrompts(client("sagemaker-runtime", config=PATIENCE)),
        registry=_registry(settings.model_table),
    )


@cache
def reports() -> Reports:
    """Wire the reports to CodePipeline."""
    return JobReports(client("codepipeline"))


def _registry(table: str) -> Registry:
    return DynamoRegistry(client("dynamodb"), table, MODEL)
