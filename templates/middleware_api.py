"""Middleware API: the REST API that artists' WebUIs call, and the functions behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from troposphere import (
    AWSObject,
    Equals,
    GetAtt,
    If,
    Not,
    Output,
    Ref,
    Sub,
    Template,
    apigateway,
    awslambda,
    cloudformation,
    secretsmanager,
)

from atelier.contract.operations import OPERATIONS, Operation
from atelier.contract.settings import AuthorizerSettings, DeploymentTokenSettings
from atelier.templates import middleware_parts as middle
from atelier.templates import parts
from atelier.templates.middleware_families import add_families
from atelier.templates.middleware_parts import READ, on
from atelier.templates.middleware_routes import add_refusals, add_routes, invocation
from atelier.templates.parts import Statement, allow, arn
from atelier.templates.serving_api import api_deployment

STAGE = "prod"
REQUESTS_PER_SECOND = 500
BURST = 1000
COSTLY: Mapping[str, tuple[int, int]] = {
    "CreateEndpoint": (10, 100),
    "CreateCheckpoint": (20, 200),
    "CreateTraining": (10, 100),
    "MergeCheckpoints": (10, 100),
    "CropDataset": (10, 100),
}
"""What all users together may ask of operations that begin long work: requests a second, and at once."""

AUTHORIZED_SECONDS = 60
"""For so long a revoked token may still open the API."""


def template() -> Template:
    """Render the stack of the middleware's API."""
    t = middle.code_stack(
        __doc__ or "",
        middle.BUCKET,
        middle.ACCOUNTS,
        middle.RATES,
        middle.CHECKPOINTS,
        middle.ENDPOINTS,
        middle.INFERENCES,
        middle.WORK,
        middle.DATASETS,
        middle.WORK_MACHINE,
        middle.WORK_INSTANCE,
        middle.DOWNLOADS_FUNCTION,
        middle.ALLOW_PICKLED,
        middle.SECRET,
        middle.TOKEN_KEY,
        middle.ENDPOINT_ROLE,
        middle.ENDPOINT_IMAGE,
        middle.REPOSITORY_URI,
        middle.SUCCESS_TOPIC,
        middle.ERROR_TOPIC,
        middle.USER_REQUESTS,
        middle.ROTATION_DAYS,
    )
    t.add_condition(middle.IS_ROTATED, Not(Equals(Ref(middle.ROTATION_DAYS), 0)))
    api = t.add_resource(rest_api())
    authorizer = add_authorizer(t, api)
    methods = add_routes(t, api, authorizer, add_families(t))
    add_refusals(t, api)
    deployment = t.add_resource(api_deployment(t, api, methods))
    stage = t.add_resource(api_stage(t, api, deployment))
    add_deployment_token(t)
    url = f"https://${{{api.title}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/{STAGE}/"
    for name, value in {
        "ApiId": Ref(api),
        "ApiStage": Ref(stage),
        "ApiUrl": Sub(url),
        "Bucket": Ref(middle.BUCKET),
        "DeploymentTokenSecretArn": Ref(middle.SECRET),
        "EndpointImage": Ref(middle.ENDPOINT_IMAGE),
        "RotationFunctionArn": GetAtt(t.resources["TokenKeeper"], "Arn"),
    }.items():
        t.add_output(Output(name, Value=value))
    return parts.tagged(t, "middleware-api")


def rest_api() -> apigateway.RestApi:
    """Answer in one region."""
    return apigateway.RestApi(
        "Api",
        Name=Sub("${AWS::StackName}"),
        Description="Generation for WebUIs",
        EndpointConfiguration=apigateway.EndpointConfiguration(Types=["REGIONAL"]),
    )


def add_authorizer(t: Template, api: apigateway.RestApi) -> apigateway.Authorizer:
    """Let one function say whose token a request carries."""
    function = middle.function(
        t,
        "Authorizer",
        module="authorizer",
        settings=parts.environment(AuthorizerSettings, accounts_table=Ref(middle.ACCOUNTS)),
        may=[on(middle.ACCOUNTS, "dynamodb:GetItem")],
        why="Says whose token a request carries",
        timeout=10,
    )
    authorizer = apigateway.Authorizer(
        "TokenAuthorizer",
        RestApiId=Ref(api),
        Name="tokens",
        Type="REQUEST",
        IdentitySource="method.request.header.x-api-key",
        AuthorizerUri=invocation(function),
        AuthorizerResultTtlInSeconds=AUTHORIZED_SECONDS,
    )
    t.add_resource(authorizer)
    t.add_resource(
        awslambda.Permission(
            "AuthorizerPermission",
            Action="lambda:InvokeFunction",
            FunctionName=Ref(function),
            Principal="apigateway.amazonaws.com",
            SourceArn=Sub(
                "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}"
                f":${{{api.title}}}/authorizers/${{{authorizer.title}}}"
            ),
        )
    )
    return authorizer


def api_stage(t: Template, api: apigateway.RestApi, deployment: apigateway.Deployment) -> apigateway.Stage:
    """Publish the API, throttled, with a log that names tokens' owners and holds no token."""
    group = t.add_resource(parts.log_group("AccessLog"))
    entry = {
        "request": "$context.requestId",
        "time": "$context.requestTime",
        "ip": "$context.identity.sourceIp",
        "method": "$context.httpMethod",
        "path": "$context.resourcePath",
        "status": "$context.status",
        "bytes": "$context.responseLength",
        "milliseconds": "$context.responseLatency",
        "principal": "$context.authorizer.principalId",
        "error": "$context.error.message",
    }
    return apigateway.Stage(
        "Stage",
        RestApiId=Ref(api),
        DeploymentId=Ref(deployment),
        StageName=STAGE,
        TracingEnabled=If(middle.IS_TRACED, True, False),
        AccessLogSetting=apigateway.AccessLogSetting(
            DestinationArn=arn("logs", f"log-group:${{{group.title}}}"), Format=json.dumps(entry)
        ),
        MethodSettings=[
            apigateway.MethodSetting(
                HttpMethod="*",
                ResourcePath="/*",
                MetricsEnabled=True,
                ThrottlingRateLimit=REQUESTS_PER_SECOND,
                ThrottlingBurstLimit=BURST,
            ),
            *(throttled(OPERATIONS[name], *limits) for name, limits in COSTLY.items()),
        ],
    )


def throttled(operation: Operation, rate: int, burst: int) -> apigateway.MethodSetting:
    """Bound one operation by itself; API Gateway wants the slashes within a path written as ~1."""
    return apigateway.MethodSetting(
        HttpMethod=operation.method,
        ResourcePath="/" + operation.path.replace("/", "~1"),
        MetricsEnabled=True,
        ThrottlingRateLimit=rate,
        ThrottlingBurstLimit=burst,
    )


def add_deployment_token(t: Template) -> None:
    """Tell the API the digest of the deployment's own token, now and whenever the secret changes."""
    secret = Ref(middle.SECRET)
    reads = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    writes = ["secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"]
    changes = [
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
    ]
    function = middle.function(
        t,
        "TokenKeeper",
        module="deployment_token",
        settings=parts.environment(
            DeploymentTokenSettings, accounts_table=Ref(middle.ACCOUNTS), secret_arn=secret
        ),
        may=[on(middle.ACCOUNTS, *READ, *changes), allow([*reads, *writes], secret), using_key()],
        why="Keeps the digest of the deployment's token in step with its secret",
        timeout=60,
        memory=512,
    )
    digest = t.add_resource(
        cloudformation.CustomResource(
            "DeploymentTokenDigest",
            ServiceToken=GetAtt(function, "Arn"),
            SecretArn=secret,
            AccountsTable=Ref(middle.ACCOUNTS),
        )
    )
    middle.add_rule(
        t,
        "SecretRule",
        function,
        Description="The deployment's token has another value",
        EventPattern={
            "source": ["aws.secretsmanager"],
            "detail-type": ["Secret Label Updated"],
            "resources": [secret],
            "detail": {"labelUpdated": ["AWSCURRENT"]},
        },
    )
    permission = t.add_resource(
        awslambda.Permission(
            "RotationPermission",
            Action="lambda:InvokeFunction",
            FunctionName=Ref(function),
            Principal="secretsmanager.amazonaws.com",
            SourceArn=secret,
        )
    )
    t.add_resource(rotation(function, permission, digest))


def using_key() -> Statement:
    """Allow to read and write secrets under the token's key, and nothing else with it."""
    through = Sub("secretsmanager.${AWS::Region}.${AWS::URLSuffix}")
    return allow(
        ["kms:Decrypt", "kms:GenerateDataKey"],
        Ref(middle.TOKEN_KEY),
        StringEquals={"kms:ViaService": through},
    )


def rotation(function: awslambda.Function, *after: AWSObject) -> secretsmanager.RotationSchedule:
    """Make the deployment's token anew by the clock, where the stack's parameter says how often."""
    return secretsmanager.RotationSchedule(
        "TokenRotation",
        Condition=middle.IS_ROTATED,
        SecretId=Ref(middle.SECRET),
        RotationLambdaARN=GetAtt(function, "Arn"),
        RotateImmediatelyOnUpdate=False,
        RotationRules=secretsmanager.RotationRules(AutomaticallyAfterDays=Ref(middle.ROTATION_DAYS)),
        DependsOn=[each.title for each in after],
    )
