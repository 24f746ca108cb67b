"""Middleware state: what the REST API keeps, and what its endpoints need beyond the life of its functions."""

from __future__ import annotations

import json

from troposphere import (
    GetAtt,
    Output,
    Parameter,
    Ref,
    Sub,
    Template,
    dynamodb,
    ecr,
    iam,
    kms,
    s3,
    secretsmanager,
    sns,
)

from atelier.contract import keys, tables
from atelier.templates import parts
from atelier.templates.parts import allow, arn

PROTECTION = Parameter(
    "DeletionProtection",
    Type="String",
    Default="true",
    AllowedValues=["true", "false"],
    Description="Whether tables refuse to be deleted.",
)
TOKEN_LENGTH = 48
LOGGING = ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def template() -> Template:
    """Render the stack of the middleware's state."""
    t = parts.stack(__doc__ or "", parts.PREFIX, PROTECTION)
    store = t.add_resource(bucket())
    t.add_resource(parts.tls_only(store))
    outputs = {
        "MiddlewareBucketName": Ref(store),
        "AccountsTableName": Ref(t.add_resource(accounts_table())),
        "RatesTableName": Ref(t.add_resource(rates_table())),
        "CheckpointsTableName": Ref(t.add_resource(indexed("Checkpoints", tables.CHECKPOINTS))),
        "EndpointsTableName": Ref(t.add_resource(indexed("Endpoints", tables.ENDPOINTS))),
        "InferencesTableName": Ref(t.add_resource(indexed("Inferences", tables.INFERENCES))),
        "WorkTableName": Ref(t.add_resource(indexed("Work", tables.WORK))),
        "DatasetsTableName": Ref(t.add_resource(indexed("Datasets", tables.DATASETS))),
        "DeploymentTokenKeyArn": GetAtt(key := t.add_resource(token_key()), "Arn"),
        "DeploymentTokenSecretArn": GetAtt(t.add_resource(deployment_token(key)), "Id"),
        "SuccessTopicArn": Ref(t.add_resource(topic("SuccessTopic"))),
        "ErrorTopicArn": Ref(t.add_resource(topic("ErrorTopic"))),
        "WorkSuccessTopicArn": Ref(t.add_resource(topic("WorkSuccessTopic"))),
        "WorkErrorTopicArn": Ref(t.add_resource(topic("WorkErrorTopic"))),
        "OperationsTopicArn": Ref(t.add_resource(topic("OperationsTopic"))),
        "EndpointRoleArn": GetAtt(t.add_resource(endpoint_role(store)), "Arn"),
    }
    images = t.add_resource(image_repository())
    outputs["DiffusionRepositoryName"] = Ref(images)
    outputs["DiffusionRepositoryUri"] = GetAtt(images, "RepositoryUri")
    for name, value in outputs.items():
        t.add_output(Output(name, Value=value))
    return parts.tagged(t, "middleware-state")


def bucket() -> s3.Bucket:
    """Hold checkpoints, parameters and results; clients reach it by presigned URLs, browsers among them."""
    forget = [
        s3.LifecycleRule(
            Id=name.strip("/").replace("/", "-"), Prefix=name, Status="Enabled", ExpirationInDays=14
        )
        for name in (keys.ASYNC_OUTPUT, keys.ASYNC_FAILURES)
    ]
    abandoned = s3.LifecycleRule(
        Id="uploads",
        Status="Enabled",
        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=7),
    )
    return parts.bucket(
        "Bucket",
        LifecycleConfiguration=s3.LifecycleConfiguration(Rules=[abandoned, *forget]),
        NotificationConfiguration=s3.NotificationConfiguration(
            EventBridgeConfiguration=s3.EventBridgeConfiguration(EventBridgeEnabled=True)
        ),
        CorsConfiguration=s3.CorsConfiguration(
            CorsRules=[
                s3.CorsRules(
                    AllowedHeaders=["*"],
                    AllowedMethods=["GET", "HEAD", "PUT"],
                    AllowedOrigins=["*"],
                    ExposedHeaders=["ETag"],
                    MaxAge=3600,
                )
            ]
        ),
    )


def accounts_table() -> dynamodb.Table:
    """Keep users, roles, and the digests of tokens."""
    return _table("Accounts", ["pk", "sk"])


def rates_table() -> dynamodb.Table:
    """Count each user's requests; what is over is forgotten, and nothing of it is worth a backup."""
    made = _table("Rates", ["pk"])
    made.PointInTimeRecoverySpecification = _recovery(False)
    made.TimeToLiveSpecification = dynamodb.TimeToLiveSpecification(AttributeName="expires", Enabled=True)
    return made


def indexed(title: str, declared: tables.Table) -> dynamodb.Table:
    """Keep what a table of the contract declares."""
    made = _table(title, [declared.hash])
    known = {declared.hash, *(name for each in declared.indexes for name in (each.hash, each.range))}
    made.AttributeDefinitions = _attributes(known)
    made.GlobalSecondaryIndexes = [
        dynamodb.GlobalSecondaryIndex(
            IndexName=each.name,
            KeySchema=_key([each.hash, each.range]),
            Projection=dynamodb.Projection(ProjectionType="ALL"),
        )
        for each in declared.indexes
    ]
    return made


def _table(title: str, key: list[str]) -> dynamodb.Table:
    return dynamodb.Table(
        title,
        KeySchema=_key(key),
        AttributeDefinitions=_attributes(set(key)),
        BillingMode="PAY_PER_REQUEST",
        PointInTimeRecoverySpecification=_recovery(True),
        SSESpecification=dynamodb.SSESpecification(SSEEnabled=True),
        DeletionProtectionEnabled=Ref(PROTECTION),
        **KEPT,
    )


def _key(names: list[str]) -> list[dynamodb.KeySchema]:
    return [
        dynamodb.KeySchema(AttributeName=name, KeyType=kind)
        for name, kind in zip(names, ("HASH", "RANGE"), strict=False)
    ]


def _attributes(names: set[str]) -> list[dynamodb.AttributeDefinition]:
    return [dynamodb.AttributeDefinition(AttributeName=name, AttributeType="S") for name in sorted(names)]


def _recovery(enabled: bool) -> dynamodb.PointInTimeRecoverySpecification:
    return dynamodb.PointInTimeRecoverySpecification(PointInTimeRecoveryEnabled=enabled)


def token_key() -> kms.Key:
    """Let nobody read the deployment's token who may not use this key too; IAM says who may."""
    owner = {"AWS": Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
    statement = {"Effect": "Allow", "Principal": owner, "Action": "kms:*", "Resource": "*"}
    return kms.Key(
        "TokenKey",
        Description="Keeps the key to the REST API that may act for any user",
        EnableKeyRotation=True,
        KeyPolicy={"Version": parts.VERSION, "Statement": [statement]},
        **KEPT,
    )


def deployment_token(key: kms.Key) -> secretsmanager.Secret:
    """Make the deployment's own token; the API knows its digest alone."""
    return secretsmanager.Secret(
        "DeploymentToken",
        Description="The key to the REST API that may act for any user",
        GenerateSecretString=secretsmanager.GenerateSecretString(
            PasswordLength=TOKEN_LENGTH, ExcludePunctuation=True
        ),
        KmsKeyId=GetAtt(key, "Arn"),
        **KEPT,
    )


def topic(title: str) -> sns.Topic:
    """Let endpoints tell of an end, or alarms of trouble; topics outlive the functions that listen."""
    return sns.Topic(title, **KEPT)


def endpoint_role(store: s3.Bucket) -> iam.Role:
    """Let an endpoint read checkpoints and inputs, write results, fetch its image and log."""
    groups = arn("logs", "log-group:/aws/sagemaker/Endpoints/*")
    reads = [Sub(f"${{{store.title}.Arn}}/{each}*") for each in (keys.CHECKPOINTS, keys.INFERENCES)]
    writes = [Sub(f"${{{store.title}.Arn}}/{each}*") for each in (keys.ASYNC_OUTPUT, keys.ASYNC_FAILURES)]
    made = parts.role(
        "EndpointRole",
        "sagemaker.amazonaws.com",
        allow(["s3:GetObject"], *reads),
        allow(["s3:PutObject", "s3:AbortMultipartUpload"], *writes),
        allow(["s3:ListBucket"], GetAtt(store, "Arn")),
        allow(["sns:Publish"], Ref("SuccessTopic"), Ref("ErrorTopic")),
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(
            ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
            arn("ecr", "repository/*"),
        ),
        # a stream is made by the name of its group, and written by its own, which begins alike
        allow([f"logs:{each}" for each in LOGGING], groups),
        allow(
            ["cloudwatch:PutMetricData"],
            "*",
            StringEquals={"cloudwatch:namespace": "/aws/sagemaker/Endpoints"},
        ),
    )
    made.DeletionPolicy = made.UpdateReplacePolicy = "Retain"
    return made


def image_repository() -> ecr.Repository:
    """Keep the images of endpoints; a tag names what it was built from and never moves."""
    forget = {
        "rulePriority": 1,
        "description": "images without a tag",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": 14,
        },
        "action": {"type": "expire"},
    }
    return ecr.Repository(
        "DiffusionImages",
        ImageTagMutability="IMMUTABLE",
        ImageScanningConfiguration=ecr.ImageScanningConfiguration(ScanOnPush=True),
        LifecyclePolicy=ecr.LifecyclePolicy(LifecyclePolicyText=json.dumps({"rules": [forget]})),
        **KEPT,
    )
