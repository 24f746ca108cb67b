"""Serving API: the published model, open to the internet for who has a key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from troposphere import GetAtt, Output, Ref, Sub, Template, apigateway, awslambda

from atelier.contract.api.completions import CompletionRequest
from atelier.contract.documents import schema
from atelier.contract.settings import ServingSettings
from atelier.templates import parts
from atelier.templates.parts import allow, arn, table_arn

STAGE = "live"
LONGEST_ANSWER_MS = 29_000

REQUESTS_PER_SECOND = 10
BURST = 20
REQUESTS_PER_DAY = 10_000

REFUSALS: Mapping[str, tuple[str, str]] = {
    "INVALID_API_KEY": ("403", "send a valid key in the header x-api-key"),
    "ACCESS_DENIED": ("403", "this is not allowed"),
    "MISSING_AUTHENTICATION_TOKEN": ("404", "there is no such path or method"),
    "REQUEST_TOO_LARGE": ("413", "the request is too large"),
    "UNSUPPORTED_MEDIA_TYPE": ("415", "send application/json"),
    "THROTTLED": ("429", "too many requests, try again later"),
    "QUOTA_EXCEEDED": ("429", "the quota of this key is used up"),
    "INTEGRATION_TIMEOUT": ("504", "the model took too long"),
    "DEFAULT_5XX": ("500", "something went wrong here"),
}
"""What API Gateway answers by itself, in the form of our own errors."""


def template() -> Template:
    """Render the serving API's stack."""
    t = parts.stack(
        __doc__ or "", parts.PREFIX, parts.CODE_BUCKET, parts.CODE_KEY, parts.LAYER_KEY, parts.MODEL_TABLE
    )
    t.add_resource(parts.layer())
    function = serving_function(t)
    api = t.add_resource(rest_api())
    methods = add_methods(t, api, function)
    add_refusals(t, api)
    deployment = t.add_resource(api_deployment(t, api, methods))
    stage = t.add_resource(api_stage(t, api, deployment))
    key = add_key(t, api, stage)
    t.add_output(Output("ApiId", Value=Ref(api)))
    t.add_output(Output("ApiStage", Value=Ref(stage)))
    t.add_output(Output("ApiKeyId", Value=Ref(key)))
    url = f"https://${{{api.title}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/{STAGE}"
    t.add_output(Output("ApiUrl", Value=Sub(url)))
    return parts.tagged(t, "serving-api")


def serving_function(t: Template) -> awslambda.Function:
    """Answer requests by asking the stable endpoint."""
    return parts.function(
        t,
        "Serving",
        handler="serving.handle",
        settings=parts.environment(
            ServingSettings, model_table=Ref(parts.MODEL_TABLE), stable_endpoint=Sub("${Prefix}-stable")
        ),
        may=[
            allow(["sagemaker:InvokeEndpoint"], arn("sagemaker", "endpoint/${Prefix}-stable")),
            allow(["dynamodb:Query"], table_arn()),
        ],
        why="Answers the serving API's requests",
        timeout=29,
        memory=1024,
    )


def rest_api() -> apigateway.RestApi:
    """Answer in one region; a key comes in a header."""
    return apigateway.RestApi(
        "Api",
        Name=Sub("${Prefix}-serving-api"),
        Description="Completions by the published model",
        ApiKeySourceType="HEADER",
        EndpointConfiguration=apigateway.EndpointConfiguration(Types=["REGIONAL"]),
    )


def add_methods(
    t: Template, api: apigateway.RestApi, function: awslambda.Function
) -> list[apigateway.Method]:
    """Add POST /completions and GET /models/current, and let the API call the function for them.

    The model describes a request to readers and SDKs. The function checks it against the same declaration:
    API Gateway's own validator would say no more than that the body is invalid.
    """
    model = t.add_resource(
        apigateway.Model(
            "CompletionRequest",
            RestApiId=Ref(api),
            Name="CompletionRequest",
            ContentType="application/json",
            Schema=schema(CompletionRequest),
        )
    )
    root = GetAtt(api, "RootResourceId")
    completions = t.add_resource(_resource("Completions", api, root, "completions"))
    models = t.add_resource(_resource("Models", api, root, "models"))
    current = t.add_resource(_resource("CurrentModel", api, Ref(models), "current"))
    described = {"RequestModels": {"application/json": Ref(model)}}
    for verb, path in (("POST", "completions"), ("GET", "models/current")):
        t.add_resource(_permission(api, verb, path, function))
    return [
        t.add_resource(_method("PostCompletions", api, completions, "POST", function, **described)),
        t.add_resource(_method("GetCurrentModel", api, current, "GET", function)),
    ]


def _resource(title: str, api: apigateway.RestApi, parent: parts.Text, part: str) -> apigateway.Resource:
    return apigateway.Resource(title, RestApiId=Ref(api), ParentId=parent, PathPart=part)


def _method(
    title: str,
    api: apigateway.RestApi,
    resource: apigateway.Resource,
    verb: str,
    function: awslambda.Function,
    **more: object,
) -> apigateway.Method:
    region = "arn:${AWS::Partition}:apigateway:${AWS::Region}"
    return apigateway.Method(
        title,
        RestApiId=Ref(api),
        ResourceId=Ref(resource),
        HttpMethod=verb,
        AuthorizationType="NONE",
        ApiKeyRequired=True,
        Integration=apigateway.Integration(
            Type="AWS_PROXY",
            IntegrationHttpMethod="POST",
            Uri=Sub(
                f"{region}:lambda:path/2015-03-31/functions/${{Function}}/invocations",
                Function=GetAtt(function, "Arn"),
            ),
            TimeoutInMillis=LONGEST_ANSWER_MS,
        ),
        **more,
    )


def _permission(
    api: apigateway.RestApi, verb: str, path: str, function: awslambda.Function
) -> awslambda.Permission:
    return awslambda.Permission(
        f"{verb.title()}Permission",
        Action="lambda:InvokeFunction",
        FunctionName=Ref(function),
        Principal="apigateway.amazonaws.com",
        SourceArn=arn("execute-api", f"${{{api.title}}}/*/{verb}/{path}"),
    )


def add_refusals(t: Template, api: apigateway.RestApi) -> None:
    """Let API Gateway's own refusals be JSON that says what to do."""
    for kind, (status, words) in REFUSALS.items():
        t.add_resource(
            apigateway.GatewayResponse(
                "".join(part.title() for part in kind.split("_")) + "Response",
                RestApiId=Ref(api),
                ResponseType=kind,
                StatusCode=status,
                ResponseTemplates={"application/json": json.dumps({"message": words})},
            )
        )


def api_deployment(
    t: Template, api: apigateway.RestApi, methods: list[apigateway.Method]
) -> apigateway.Deployment:
    """Take a picture of the API; its name holds the hash of what it shows: a change takes a new one."""
    shown = [
        each.to_dict()
        for each in t.resources.values()
        if each.resource["Type"].startswith("AWS::ApiGateway::")
    ]
    digest = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:8]
    responses = [each for each in t.resources.values() if isinstance(each, apigateway.GatewayResponse)]
    return apigateway.Deployment(
        f"Deployment{digest}", RestApiId=Ref(api), DependsOn=[each.title for each in (*methods, *responses)]
    )


def api_stage(t: Template, api: apigateway.RestApi, deployment: apigateway.Deployment) -> apigateway.Stage:
    """Publish the picture, throttled, with a log of who was answered what."""
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
        "key": "$context.identity.apiKeyId",
        "error": "$context.error.message",
    }
    return apigateway.Stage(
        "Stage",
        RestApiId=Ref(api),
        DeploymentId=Ref(deployment),
        StageName=STAGE,
        AccessLogSetting=apigateway.AccessLogSetting(
            DestinationArn=arn("logs", f"log-group:${{{group.title}}}"),
            Format=json.dumps(entry),
        ),
        MethodSettings=[
            apigateway.MethodSetting(
                HttpMethod="*",
                ResourcePath="/*",
                MetricsEnabled=True,
                ThrottlingRateLimit=REQUESTS_PER_SECOND,
                ThrottlingBurstLimit=BURST,
            )
        ],
    )


def add_key(t: Template, api: apigateway.RestApi, stage: apigateway.Stage) -> apigateway.ApiKey:
    """Add a key with a plan of its own; API Gateway makes its value, and no output shows it."""
    key = t.add_resource(
        apigateway.ApiKey("Key", Enabled=True, Description="The first key of the serving API")
    )
    plan = t.add_resource(
        apigateway.UsagePlan(
            "Plan",
            Description="What one key may ask",
            ApiStages=[apigateway.ApiStage(ApiId=Ref(api), Stage=Ref(stage))],
            Throttle=apigateway.ThrottleSettings(RateLimit=REQUESTS_PER_SECOND, BurstLimit=BURST),
            Quota=apigateway.QuotaSettings(Limit=REQUESTS_PER_DAY, Period="DAY"),
        )
    )
    t.add_resource(
        apigateway.UsagePlanKey("PlanKey", KeyId=Ref(key), KeyType="API_KEY", UsagePlanId=Ref(plan))
    )
    return key
