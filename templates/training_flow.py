"""Training flow: trains a model, holds it to a gate, and shows it on the candidate endpoint."""

from __future__ import annotations

from troposphere import (
    Equals,
    GetAtt,
    If,
    Not,
    Output,
    Parameter,
    Ref,
    Sub,
    Template,
    awslambda,
    iam,
    stepfunctions,
)

from atelier.contract.events import MODEL
from atelier.contract.settings import FlowSettings
from atelier.templates import flow, parts, training_files
from atelier.templates.parts import Statement, allow, arn, bucket_arn, objects, pass_role, table_arn

REPORTS_TOPIC = Parameter("ReportsTopicArn", Type="String", Description="The topic of reports to people.")
TRAINING_STEPS = Parameter(
    "TrainingSteps",
    Type="Number",
    Default="500",
    MinValue=1,
    Description="Optimizer steps of a training job.",
)
TRAINING_INSTANCE = Parameter(
    "TrainingInstanceType", Type="String", Default="ml.m5.2xlarge", Description="Where models are trained."
)
ENDPOINT_INSTANCE = Parameter(
    "EndpointInstanceType", Type="String", Default="ml.m5.large", Description="Where models are served."
)
SPOT = Parameter(
    "UseSpot",
    Type="String",
    Default="true",
    AllowedValues=["true", "false"],
    Description="Train on spare capacity, which may be taken away; training then goes on from a checkpoint.",
)
MAX_RUN = Parameter(
    "TrainingSeconds", Type="Number", Default="7200", MinValue=60, Description="How long a job may train."
)
MAX_WAIT = Parameter(
    "TrainingWaitSeconds",
    Type="Number",
    Default="14400",
    MinValue=60,
    Description="How long a job may train and wait for spare capacity together; at least TrainingSeconds.",
)
STARTUP = Parameter(
    "StartupSeconds",
    Type="Number",
    Default="300",
    MinValue=60,
    MaxValue=3600,
    Description="How long a model may take until it answers /ping.",
)
MAX_BITS = Parameter(
    "MaximumBitsPerByte",
    Type="Number",
    Default="3.2",
    Description="Bits per byte on held-out text above which a model is not shown to anyone.",
)
MAX_REGRESSION = Parameter(
    "MaximumRegression",
    Type="Number",
    Default="0.05",
    Description="The share by which a model may be worse than the version that serves.",
)
TUNABLE = (
    TRAINING_STEPS,
    TRAINING_INSTANCE,
    ENDPOINT_INSTANCE,
    SPOT,
    MAX_RUN,
    MAX_WAIT,
    STARTUP,
    MAX_BITS,
    MAX_REGRESSION,
    *training_files.CHOICES,
)
"""What an installation may choose; the pipeline has the same parameters and hands them on."""

SHARED = (
    parts.PREFIX,
    parts.CODE_BUCKET,
    parts.DATA_BUCKET,
    parts.MODEL_TABLE,
    parts.IMAGE_REPOSITORY,
    REPORTS_TOPIC,
)
"""What the pipeline takes from other stacks."""

BUILT = (parts.CODE_KEY, parts.LAYER_KEY)
"""What the pipeline's build made."""

CANDIDATE = Sub("${Prefix}-candidate")
STATE_MACHINE_NAME = "${Prefix}-training"


def template() -> Template:
    """Render the training flow's stack."""
    t = parts.stack(__doc__ or "", *SHARED, *BUILT, *TUNABLE)
    t.add_condition("IsSpot", Equals(Ref(SPOT), "true"))
    t.add_condition(training_files.HAS_ONE, Not(Equals(Ref(training_files.FILE_SYSTEM), "")))
    t.add_resource(parts.layer())
    functions = {
        "Gate": gate_function(t),
        "SmokeTest": smoke_test_function(t),
        "Record": record_function(t),
        "TakeBack": take_back_function(t),
    }
    sagemaker = t.add_resource(sagemaker_role())
    machine_role = t.add_resource(state_machine_role(sagemaker, *functions.values()))
    machine = t.add_resource(state_machine(machine_role, sagemaker, functions))
    t.add_output(Output("StateMachineArn", Value=Ref(machine)))
    return parts.tagged(t, "training-flow")


def settings() -> awslambda.Environment:
    """Say to the flow's functions where versions are kept, and which endpoint shows a new one."""
    return parts.environment(FlowSettings, model_table=Ref(parts.MODEL_TABLE), candidate_endpoint=CANDIDATE)


def gate_function(t: Template) -> awslambda.Function:
    """Refuse a model that is not good enough before anything is created from it."""
    return parts.function(
        t,
        "Gate",
        handler="flow.gate",
        settings=settings(),
        may=[allow(["dynamodb:Query"], table_arn())],
        why="Compares a model's bits per byte with the limits and the version that serves",
    )


def smoke_test_function(t: Template) -> awslambda.Function:
    """Ask the candidate a real prompt: an endpoint in service may still answer nonsense."""
    candidate = arn("sagemaker", "endpoint/${Prefix}-candidate")
    return parts.function(
        t,
        "SmokeTest",
        handler="flow.smoke_test",
        settings=settings(),
        may=[allow(["sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"], candidate)],
        why="Asks the candidate endpoint a real prompt",
        timeout=120,
    )


def record_function(t: Template) -> awslambda.Function:
    """Record the model as a version that waits for a person."""
    writes = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    return parts.function(
        t,
        "Record",
        handler="flow.record",
        settings=settings(),
        may=[
            allow(writes, table_arn()),
            allow(["s3:GetObject"], *objects(parts.DATA_BUCKET, "models/*")),
        ],
        why="Records a trained model as the next version, with the digest of its artefact",
        timeout=600,
    )


def take_back_function(t: Template) -> awslambda.Function:
    """Leave nothing of a failed attempt behind."""
    return parts.function(
        t,
        "TakeBack",
        handler="flow.take_back",
        settings=settings(),
        may=[allow(["dynamodb:GetItem", "dynamodb:PutItem"], table_arn()), *may_discard()],
        why="Deletes what a failed attempt created, and says why it failed",
    )


def may_discard() -> list[Statement]:
    """Allow to delete the candidate endpoint, and the configurations and models of the pipeline."""
    return [
        allow(
            ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"],
            arn("sagemaker", "endpoint/${Prefix}-candidate"),
        ),
        allow(["sagemaker:DeleteEndpointConfig"], arn("sagemaker", f"endpoint-config/{MODEL}-*")),
        allow(["sagemaker:DeleteModel"], arn("sagemaker", f"model/{MODEL}-*")),
    ]


def sagemaker_role() -> iam.Role:
    """Let training jobs and endpoints read their data, keep their models, and write logs and metrics."""
    made = parts.role(
        "SageMakerRole",
        "sagemaker.amazonaws.com",
        allow(["s3:GetObject"], *objects(parts.DATA_BUCKET, "data/*", "models/*", "checkpoints/*")),
        allow(
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            *objects(parts.DATA_BUCKET, "models/*", "checkpoints/*"),
        ),
        allow(["s3:DeleteObject"], *objects(parts.DATA_BUCKET, "checkpoints/*")),
        allow(["s3:ListBucket"], bucket_arn(parts.DATA_BUCKET)),
        allow(
            ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"],
            arn("ecr", "repository/${ImageRepositoryName}"),
        ),
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            arn("logs", "log-group:/aws/sagemaker/*"),
        ),
        allow(
            ["cloudwatch:PutMetricData"],
            "*",
            StringLike={"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*"]},
        ),
    )
    made.Policies[0].PolicyDocument["Statement"] += training_files.permissions()
    return made


def state_machine_role(sagemaker: iam.Role, *functions: awslambda.Function) -> iam.Role:
    """Let the flow train, make a candidate and call its functions; the stable endpoint is beyond it."""
    jobs = arn("sagemaker", f"training-job/{MODEL}-*")
    models = arn("sagemaker", f"model/{MODEL}-*")
    configs = arn("sagemaker", f"endpoint-config/{MODEL}-*")
    candidate = arn("sagemaker", "endpoint/${Prefix}-candidate")
    ended = arn("events", "rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule")
    return parts.role(
        "StateMachineRole",
        "states.amazonaws.com",
        allow(
            ["sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"],
            jobs,
        ),
        # Step Functions tags what it creates as its own (MANAGED_BY_AWS).
        allow(["sagemaker:AddTags", "sagemaker:ListTags"], jobs, models, configs, candidate),
        allow(["events:PutTargets", "events:PutRule", "events:DescribeRule"], ended),
        allow(["sagemaker:CreateModel"], models),
        allow(["sagemaker:CreateEndpointConfig"], configs),
        allow(["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"], candidate, configs),
        allow(["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], candidate),
        pass_role("sagemaker.amazonaws.com", GetAtt(sagemaker, "Arn")),
        allow(["lambda:InvokeFunction"], *(GetAtt(each, "Arn") for each in functions)),
        allow(["sns:Publish"], Ref(REPORTS_TOPIC)),
    )


def state_machine(
    role: iam.Role, sagemaker: iam.Role, functions: dict[str, awslambda.Function]
) -> stepfunctions.StateMachine:
    """Train, gate, deploy a candidate, try it and report."""
    values = {
        "SageMakerRoleArn": GetAtt(sagemaker, "Arn"),
        "CandidateEndpoint": CANDIDATE,
        "IsSpot": If("IsSpot", "true", "false"),
        "StoppingCondition": If(
            "IsSpot",
            Sub(
                '{"MaxRuntimeInSeconds": ${TrainingSeconds}, "MaxWaitTimeInSeconds": ${TrainingWaitSeconds}}'
            ),
            Sub('{"MaxRuntimeInSeconds": ${TrainingSeconds}}'),
        ),
        **training_files.values(),
        **{f"{name}Arn": GetAtt(each, "Arn") for name, each in functions.items()},
    }
    return stepfunctions.StateMachine(
        "StateMachine",
        StateMachineName=Sub(STATE_MACHINE_NAME),
        RoleArn=GetAtt(role, "Arn"),
        DefinitionString=Sub(flow.definition(), **values),
    )
