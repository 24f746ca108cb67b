"""What the stacks of the middleware share: their parameters, who may do what, and functions with settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from troposphere import AWSHelperFn, Equals, GetAtt, If, NoValue, Parameter, Ref, Template, awslambda, events

from atelier.contract.settings import AccessSettings
from atelier.templates import parts
from atelier.templates.parts import Statement, Text, allow, arn

BUCKET = Parameter(
    "MiddlewareBucketName", Type="String", Description="The bucket of checkpoints and results."
)
ACCOUNTS = Parameter("AccountsTableName", Type="String", Description="The table of users, roles and tokens.")
RATES = Parameter("RatesTableName", Type="String", Description="The table of how often users ask.")
CHECKPOINTS = Parameter("CheckpointsTableName", Type="String", Description="The table of checkpoints.")
ENDPOINTS = Parameter("EndpointsTableName", Type="String", Description="The table of endpoints.")
INFERENCES = Parameter("InferencesTableName", Type="String", Description="The table of generation jobs.")
WORK = Parameter("WorkTableName", Type="String", Description="The table of trainings, merges and crops.")
DATASETS = Parameter("DatasetsTableName", Type="String", Description="The table of datasets.")
WORK_MACHINE = Parameter(
    "WorkMachineArn", Type="String", Description="The state machine that sees trainings and merges through."
)
WORK_INSTANCE = Parameter(
    "WorkInstanceType", Type="String", Default="ml.m5.xlarge", Description="Where merges and crops run."
)
SECRET = Parameter(
    "DeploymentTokenSecretArn", Type="String", Description="The secret that is the deployment's own token."
)
TOKEN_KEY = Parameter(
    "DeploymentTokenKeyArn", Type="String", Description="The key under which the deployment's token is kept."
)
ENDPOINT_ROLE = Parameter("EndpointRoleArn", Type="String", Description="The role of endpoints.")
ENDPOINT_IMAGE = Parameter(
    "EndpointImage", Type="String", Default="none", Description="The image of endpoints, by its digest."
)
REPOSITORY_URI = Parameter(
    "DiffusionRepositoryUri",
    Type="String",
    Description="Where the images of endpoints are pushed to, as ECR says it.",
)
SUCCESS_TOPIC = Parameter(
    "SuccessTopicArn", Type="String", Description="Where SageMaker tells of asynchronous results."
)
ERROR_TOPIC = Parameter(
    "ErrorTopicArn", Type="String", Description="Where SageMaker tells of asynchronous failures."
)
OPERATIONS_TOPIC = Parameter(
    "OperationsTopicArn", Type="String", Description="Where alarms tell those who operate the middleware."
)
DOWNLOADS_FUNCTION = Parameter(
    "DownloadsFunctionName", Type="String", Description="The function that fetches checkpoints from URLs."
)
ALLOW_PICKLED = Parameter(
    "AllowPickled",
    Type="String",
    Default="false",
    AllowedValues=["true", "false"],
    Description="Whether checkpoints may be pickled files, which can run any code where they are loaded.",
)
TRACING = Parameter(
    "Tracing",
    Type="String",
    Default="false",
    AllowedValues=["true", "false"],
    Description="Whether requests leave traces in X-Ray.",
)
USER_REQUESTS = Parameter(
    "UserRequests",
    Type="Number",
    Default="200",
    MinValue=1,
    Description="Requests of one user in ten seconds.",
)
ROTATION_DAYS = Parameter(
    "TokenRotationDays",
    Type="Number",
    Default="0",
    MinValue=0,
    MaxValue=1000,
    Description="Days after which the deployment's token is made anew; 0 for never by the clock.",
)

IS_TRACED = "IsTraced"
IS_ROTATED = "IsRotated"
DEAD_SECONDS = 14 * 24 * 3600

READ = ("dynamodb:GetItem", "dynamodb:Query")
WRITE = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem")


def code_stack(description: str, *parameters: Parameter) -> Template:
    """Return a template of a stack that has functions: with their code, their layer and whether to trace."""
    shared = (parts.PREFIX, parts.CODE_BUCKET, parts.CODE_KEY, parts.LAYER_KEY, TRACING)
    t = parts.stack(description, *shared, *parameters)
    t.add_condition(IS_TRACED, Equals(Ref(TRACING), "true"))
    t.add_resource(parts.layer())
    return t


def on(table: Parameter, *actions: str, indexes: bool = False) -> Statement:
    """Allow *actions* on a table, and on its indexes where a list is read from one."""
    name = f"table/${{{table.title}}}"
    return allow(actions, arn("dynamodb", name), *([arn("dynamodb", f"{name}/index/*")] if indexes else []))


def on_objects(actions: Sequence[str], *prefixes: str) -> Statement:
    """Allow *actions* on the bucket's objects under *prefixes*."""
    return allow(actions, *parts.objects(BUCKET, *(f"{each}*" for each in prefixes)))


def listing(*prefixes: str) -> Statement:
    """Allow to list the bucket's objects under *prefixes*: else a missing object would look forbidden."""
    return allow(
        ["s3:ListBucket"],
        parts.bucket_arn(BUCKET),
        StringLike={"s3:prefix": [f"{each}*" for each in prefixes]},
    )


def telling_who_asks() -> list[Statement]:
    """Allow what every function of the API does first: find the acting user, and count the request."""
    return [on(ACCOUNTS, "dynamodb:GetItem", "dynamodb:BatchGetItem"), on(RATES, "dynamodb:UpdateItem")]


def access() -> awslambda.Environment:
    """Return the variables of every function that acts for a user."""
    return parts.environment(
        AccessSettings,
        accounts_table=Ref(ACCOUNTS),
        rates_table=Ref(RATES),
        user_requests=Ref(USER_REQUESTS),
    )


def together(*environments: awslambda.Environment) -> awslambda.Environment:
    """Return the variables of several settings; what two of them share must be the same."""
    variables: dict[str, Text] = {}
    for each in environments:
        for name, value in each.Variables.items():
            if _plain(variables.setdefault(name, value)) != _plain(value):
                raise ValueError(f"two settings disagree on {name}")
    return awslambda.Environment(Variables=variables)


def _plain(value: Text) -> object:
    return value.to_dict() if isinstance(value, AWSHelperFn) else value


def function(
    t: Template,
    title: str,
    *,
    module: str,
    settings: awslambda.Environment,
    may: Sequence[Statement],
    why: str,
    entry: str = "handle",
    timeout: int = 29,
    memory: int = 1024,
) -> awslambda.Function:
    """Add a function of the middleware: traced where the stack's parameter says so."""
    named = awslambda.Environment(Variables={"POWERTOOLS_SERVICE_NAME": module, **settings.Variables})
    made = parts.function(
        t,
        title,
        handler=f"{module}.{entry}",
        settings=named,
        may=[*may, _traces()],
        why=why,
        timeout=timeout,
        memory=memory,
    )
    made.TracingConfig = awslambda.TracingConfig(Mode=If(IS_TRACED, "Active", "PassThrough"))
    return made


def _traces() -> Statement:
    """Allow to write traces where there are any; X-Ray knows no resource."""
    traces = allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*")
    condition: Mapping[str, object] = If(IS_TRACED, traces, NoValue).to_dict()
    return dict(condition)


def add_rule(t: Template, title: str, function: awslambda.Function, **rule: object) -> None:
    """Add a rule that calls a function."""
    made = t.add_resource(
        events.Rule(title, Targets=[events.Target(Id=function.title, Arn=GetAtt(function, "Arn"))], **rule)
    )
    t.add_resource(
        awslambda.Permission(
            f"{title}Permission",
            Action="lambda:InvokeFunction",
            FunctionName=Ref(function),
            Principal="events.amazonaws.com",
            SourceArn=GetAtt(made, "Arn"),
        )
    )
