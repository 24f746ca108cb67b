"""The functions that the training pipeline calls, and the one that takes back what nobody will approve."""

from __future__ import annotations

from troposphere import Equals, GetAtt, If, Not, NoValue, Parameter, Ref, Sub, Template, awslambda, iam

from atelier.contract import fleet
from atelier.contract.events import MODEL
from atelier.contract.settings import PublishSettings, RegisterSettings, RejectSettings, StartFlowSettings
from atelier.pipelines.permissions import may_deploy
from atelier.templates import parts, training_flow
from atelier.templates.parts import Statement, allow, arn, bucket_arn, objects, pass_role, table_arn

PIPELINE = "${Prefix}-training"
SERVING_STACK = "${Prefix}-serving-api"
STATE_MACHINE = f"stateMachine:{training_flow.STATE_MACHINE_NAME}"
FLEET_BUCKET = Parameter(
    "FleetBucketName",
    Type="String",
    Default="",
    AllowedPattern=r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?",
    ConstraintDescription="a bucket's name, or nothing",
    Description="The bucket of the serving fleet, where published versions land; empty: there is none.",
)
COPY_SECONDS = 600
"""S3 copies some GB in that time."""

EXECUTIONS = f"execution:{training_flow.STATE_MACHINE_NAME}:*"


def start_flow(t: Template) -> awslambda.Function:
    """Start the flow for a run, and keep the action open until it ends."""
    return parts.function(
        t,
        "StartFlow",
        handler="pipeline.start_flow",
        settings=parts.environment(
            StartFlowSettings,
            state_machine_arn=arn("states", STATE_MACHINE),
            data_bucket=Ref(parts.DATA_BUCKET),
        ),
        may=[
            allow(["states:StartExecution"], arn("states", STATE_MACHINE)),
            allow(["states:DescribeExecution"], arn("states", EXECUTIONS)),
            allow(["s3:GetObject"], *objects(parts.DATA_BUCKET, "data/LATEST")),
            allow(["s3:ListBucket"], bucket_arn(parts.DATA_BUCKET)),
            *reports_to_pipeline(),
        ],
        why="Starts or joins a run's train-and-deploy flow and follows it to its end",
    )


def register(t: Template) -> awslambda.Function:
    """Mark the version approved, with who said so."""
    pipeline = arn("codepipeline", PIPELINE)
    return parts.function(
        t,
        "Register",
        handler="pipeline.register",
        settings=parts.environment(
            RegisterSettings, model_table=Ref(parts.MODEL_TABLE), pipeline=Sub(PIPELINE)
        ),
        may=[
            allow(["dynamodb:GetItem", "dynamodb:PutItem"], table_arn()),
            allow(["codepipeline:ListActionExecutions"], pipeline),
            *reports_to_pipeline(),
        ],
        why="Marks an approved version in the registry",
    )


def publish(t: Template, serving_role: iam.Role) -> awslambda.Function:
    """Move what serves to the approved version."""
    t.add_condition("HasFleet", Not(Equals(Ref(FLEET_BUCKET), "")))
    return parts.function(
        t,
        "Publish",
        handler="pipeline.publish",
        settings=parts.environment(
            PublishSettings,
            model_table=Ref(parts.MODEL_TABLE),
            candidate_endpoint=training_flow.CANDIDATE,
            stable_endpoint=Sub("${Prefix}-stable"),
            code_bucket=Ref(parts.CODE_BUCKET),
            serving_stack=Sub(SERVING_STACK),
            serving_role_arn=GetAtt(serving_role, "Arn"),
            fleet_bucket=If("HasFleet", Ref(FLEET_BUCKET), fleet.NO_BUCKET),
            prefix=Ref(parts.PREFIX),
        ),
        may=[
            allow(["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"], table_arn()),
            *may_publish(),
            *may_deploy(SERVING_STACK),
            pass_role("cloudformation.amazonaws.com", GetAtt(serving_role, "Arn")),
            allow(["s3:GetObject"], *objects(parts.CODE_BUCKET, "templates/*")),
            *(If("HasFleet", each, NoValue) for each in may_feed()),
            *reports_to_pipeline(),
        ],
        why="Moves the stable endpoint and the serving API to an approved version",
        timeout=COPY_SECONDS,
    )


def may_feed() -> list[Statement]:
    """Allow to copy a version's artefact to where the fleet's models land, under its own name."""
    writing = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    return [
        allow(["s3:GetObject"], *objects(parts.DATA_BUCKET, "models/*")),
        allow(writing, *objects(FLEET_BUCKET, f"{fleet.PREFIX}{MODEL}/*")),
    ]


def may_publish() -> list[Statement]:
    """Allow to move the stable endpoint, and to remove the candidate."""
    stable = arn("sagemaker", "endpoint/${Prefix}-stable")
    candidate = arn("sagemaker", "endpoint/${Prefix}-candidate")
    configs = arn("sagemaker", f"endpoint-config/{MODEL}-*")
    return [
        allow(["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"], stable, configs),
        allow(["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], stable, candidate),
    ]


def reject(t: Template) -> awslambda.Function:
    """Take back what nobody will approve."""
    return parts.function(
        t,
        "Reject",
        handler="pipeline.reject",
        settings=parts.environment(
            RejectSettings,
            state_machine_arn=arn("states", STATE_MACHINE),
            model_table=Ref(parts.MODEL_TABLE),
            candidate_endpoint=training_flow.CANDIDATE,
        ),
        may=[
            allow(["dynamodb:GetItem", "dynamodb:PutItem"], table_arn()),
            allow(["states:DescribeExecution", "states:StopExecution"], arn("states", EXECUTIONS)),
            *training_flow.may_discard(),
        ],
        why="Takes back a run that failed, was rejected, superseded or stopped",
    )


def reports_to_pipeline() -> list[Statement]:
    """Allow to report a job's result; IAM knows no resource for these."""
    return [allow(["codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult"], "*")]
