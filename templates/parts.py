"""Our defaults, said once: functions, roles, buckets, and the parameters that stacks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeAlias

from troposphere import (
    AWSHelperFn,
    Equals,
    GetAtt,
    Join,
    Not,
    Or,
    Parameter,
    Ref,
    Sub,
    Tags,
    Template,
    awslambda,
    iam,
    logs,
    s3,
)

RUNTIME = "python3.13"
RETENTION_DAYS = 30
VERSION = "2012-10-17"

Text: TypeAlias = "str | AWSHelperFn"
Statement = dict[str, Any]

PREFIX = Parameter(
    "Prefix",
    Type="String",
    Default="atelier",
    AllowedPattern="[a-z][a-z0-9-]{1,19}",
    ConstraintDescription="2 to 20 lower-case letters, digits and hyphens, beginning with a letter",
    Description="What the names of this installation begin with.",
)
CODE_BUCKET = Parameter("CodeBucketName", Type="String", Description="The bucket of function code.")
CODE_KEY = Parameter("CodeKey", Type="String", Description="Key of the functions' zip; names its hash.")
LAYER_KEY = Parameter(
    "LayerKey", Type="String", Description="Key of the dependencies' layer; names its hash."
)
ARTIFACT_BUCKET = Parameter(
    "ArtifactBucketName", Type="String", Description="The bucket of pipeline artifacts."
)
DATA_BUCKET = Parameter(
    "DataBucketName", Type="String", Description="The bucket of training data and models."
)
MODEL_TABLE = Parameter("ModelTableName", Type="String", Description="The table of model versions.")
IMAGE_REPOSITORY = Parameter("ImageRepositoryName", Type="String", Description="The repository of images.")


def stack(description: str, *parameters: Parameter) -> Template:
    """Return a template with its description (a module's docstring, on one line) and parameters."""
    t = Template(Description=" ".join(description.split())[:1024])
    t.set_version()
    for each in parameters:
        t.add_parameter(each)
    return t


def together(given: Parameter, needed: Parameter) -> dict[str, Any]:
    """Return a template's rule that refuses the first of two parameters without the other."""
    words = f"{given.title} needs {needed.title}: set both, or neither"
    said = Or(Equals(Ref(given), ""), Not(Equals(Ref(needed), "")))
    return {"Assertions": [{"Assert": said, "AssertDescription": words}]}


def tagged(t: Template, name: str) -> Template:
    """Tag every resource that can be tagged with the installation and the stack it belongs to."""
    for resource in t.resources.values():
        if _takes_tags(resource):
            resource.Tags = Tags({"atelier:installation": Ref(PREFIX), "atelier:stack": name})
    return t


def _takes_tags(resource: Any) -> bool:
    """Say whether a resource has tags; Troposphere declares them as a class, a choice or a check."""
    kinds = resource.props.get("Tags", (None, False))[0]
    return any(
        getattr(kind, "__name__", "") in {"Tags", "validate_tags_or_list"}
        for kind in (kinds if isinstance(kinds, tuple) else (kinds,))
    )


def allow(actions: Sequence[str], *resources: Text, **condition: Any) -> Statement:
    """Return a policy statement; every action is on what *resources* name, and on nothing else."""
    statement: Statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement


def pass_role(services: str | list[str], *roles: Text) -> Statement:
    """Allow to hand *roles* to the services that are named, and to no other."""
    return allow(["iam:PassRole"], *roles, StringEquals={"iam:PassedToService": services})


def arn(service: str, resource: str) -> Sub:
    """Return the ARN of a resource in this account and region; *resource* may use ``${Parameters}``."""
    return Sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def objects(bucket: Parameter, *prefixes: str) -> list[Text]:
    """Return the ARNs of a bucket's objects under *prefixes*."""
    return [
        Sub(f"arn:${{AWS::Partition}}:s3:::${{{bucket.title}}}/{prefix}") for prefix in prefixes or ("*",)
    ]


def bucket_arn(bucket: Parameter) -> Sub:
    """Return a bucket's ARN."""
    return Sub(f"arn:${{AWS::Partition}}:s3:::${{{bucket.title}}}")


def table_arn() -> Sub:
    """Return the ARN of the table of model versions."""
    return arn("dynamodb", "table/${ModelTableName}")


def role(title: str, service: str, *statements: Statement) -> iam.Role:
    """Return a role that one service may take, with one policy."""
    policies = [iam.Policy(PolicyName="Work", PolicyDocument=_document(*statements))] if statements else []
    return iam.Role(
        title,
        AssumeRolePolicyDocument=_document(
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        ),
        Policies=policies,
    )


def _document(*statements: Statement) -> dict[str, Any]:
    return {"Version": VERSION, "Statement": list(statements)}


def log_group(title: str) -> logs.LogGroup:
    """Return a log group that forgets after a while."""
    return logs.LogGroup(
        title, RetentionInDays=RETENTION_DAYS, DeletionPolicy="Delete", UpdateReplacePolicy="Delete"
    )


def writes(group: logs.LogGroup) -> Statement:
    """Allow to write to a log group."""
    return allow(["logs:CreateLogStream", "logs:PutLogEvents"], GetAtt(group, "Arn"))


def environment(settings: type[Any], **values: Text) -> awslambda.Environment:
    """Render *settings* as Lambda variables; refuse missing or unknown names."""
    expected = {each.name for each in fields(settings)}
    if expected != values.keys():
        raise TypeError(f"{settings.__name__}: expected {sorted(expected)}, got {sorted(values)}")
    return awslambda.Environment(Variables={name.upper(): value for name, value in values.items()})


def layer() -> awslambda.LayerVersion:
    """Return the dependencies that the functions of a stack share."""
    return awslambda.LayerVersion(
        "Dependencies",
        LayerName=Sub("${Prefix}-functions"),
        Description="Third-party packages of Atelier's functions",
        CompatibleRuntimes=[RUNTIME],
        Content=awslambda.Content(S3Bucket=Ref(CODE_BUCKET), S3Key=Ref(LAYER_KEY)),
    )


def function(
    t: Template,
    title: str,
    *,
    handler: str,
    settings: awslambda.Environment,
    may: Sequence[Statement],
    why: str,
    timeout: int = 60,
    memory: int = 512,
) -> awslambda.Function:
    """Add a function with a role and a log group of its own; *handler* is ``module.function``."""
    group = t.add_resource(log_group(f"{title}Log"))
    identity = t.add_resource(role(f"{title}Role", "lambda.amazonaws.com", writes(group), *may))
    variables = {"POWERTOOLS_SERVICE_NAME": handler.rpartition(".")[2], **settings.Variables}
    return t.add_resource(
        awslambda.Function(
            title,
            Description=why,
            Runtime=RUNTIME,
            Handler=f"atelier.lambdas.handlers.{handler}",
            Code=awslambda.Code(S3Bucket=Ref(CODE_BUCKET), S3Key=Ref(CODE_KEY)),
            Layers=[Ref(t.resources["Dependencies"])],
            Role=GetAtt(identity, "Arn"),
            Environment=awslambda.Environment(Variables=variables),
            LoggingConfig=awslambda.LoggingConfig(LogGroup=Ref(group)),
            Timeout=timeout,
            MemorySize=memory,
        )
    )


def bucket(title: str, **properties: Any) -> s3.Bucket:
    """Return a private, encrypted bucket that outlives its stack."""
    return s3.Bucket(
        title,
        BucketEncryption=s3.BucketEncryption(
            ServerSideEncryptionConfiguration=[
                s3.ServerSideEncryptionRule(
                    ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
                )
            ]
        ),
        PublicAccessBlockConfiguration=s3.PublicAccessBlockConfiguration(
            BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
        ),
        OwnershipControls=s3.OwnershipControls(
            Rules=[s3.OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]
        ),
        DeletionPolicy="Retain",
        UpdateReplacePolicy="Retain",
        **properties,
    )


def tls_only(bucket: s3.Bucket) -> s3.BucketPolicy:
    """Return the policy that refuses a bucket's unencrypted requests."""
    arn = GetAtt(bucket, "Arn")
    return s3.BucketPolicy(
        f"{bucket.title}Policy",
        Bucket=Ref(bucket),
        PolicyDocument=_document(
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, Join("/", [arn, "*"])],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ),
    )
