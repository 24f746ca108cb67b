"""The middleware's REST API from the table of operations: resources, methods, refusals and preflights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from troposphere import GetAtt, Ref, Sub, Template, apigateway, awslambda

from atelier.contract.operations import OPERATIONS, Operation
from atelier.contract.refusals import CORS, GATEWAY_REFUSALS
from atelier.templates.parts import Text, arn

LONGEST_ANSWER_MS = 29_000
FAMILIES = tuple(dict.fromkeys(each.family for each in OPERATIONS.values()))
"""The functions that answer, by what their paths begin with."""

EVERYWHERE = '"requestId": "$context.requestId"}'
AGAIN = "1"
"""Seconds after which a client that asked too often may ask again."""


def add_routes(
    t: Template,
    api: apigateway.RestApi,
    authorizer: apigateway.Authorizer,
    functions: Mapping[str, awslambda.Function],
) -> list[apigateway.Method]:
    """Add every operation, and a preflight for each path; *functions* are by family."""
    resources = add_resources(t, api)
    methods = []
    for operation in OPERATIONS.values():
        made = method(operation, api, resources[operation.path], authorizer, functions[operation.family])
        methods.append(t.add_resource(made))
    for path in dict.fromkeys(each.path for each in OPERATIONS.values()):
        methods.append(t.add_resource(preflight(path, api, resources[path])))
    for family, function in functions.items():
        add_permissions(t, api, family, function)
    return methods


def add_resources(t: Template, api: apigateway.RestApi) -> Mapping[str, Text]:
    """Add a resource for every path and for what leads to it; return their ids by path."""
    ids: dict[str, Text] = {"/": GetAtt(api, "RootResourceId")}
    for operation in OPERATIONS.values():
        parent = "/"
        for part in operation.path.strip("/").split("/"):
            path = f"{parent.rstrip('/')}/{part}"
            if path not in ids:
                made = apigateway.Resource(
                    f"{camel(path)}Path", RestApiId=Ref(api), ParentId=ids[parent], PathPart=part
                )
                ids[path] = Ref(t.add_resource(made))
            parent = path
    return ids


def camel(path: str) -> str:
    """Return a path as the beginning of a logical id: `/users/{username}/tokens` is UsersUsernameTokens."""
    return "".join(word.title() for word in re.findall(r"[a-z]+", path)) or "Root"


def method(
    operation: Operation,
    api: apigateway.RestApi,
    resource: Text,
    authorizer: apigateway.Authorizer,
    function: awslambda.Function,
) -> apigateway.Method:
    """Have a family's function answer an operation, once the authorizer knows the token."""
    return apigateway.Method(
        operation.id,
        RestApiId=Ref(api),
        ResourceId=resource,
        HttpMethod=operation.method,
        OperationName=operation.id,
        AuthorizationType="CUSTOM",
        AuthorizerId=Ref(authorizer),
        Integration=apigateway.Integration(
            Type="AWS_PROXY",
            IntegrationHttpMethod="POST",
            Uri=invocation(function),
            TimeoutInMillis=LONGEST_ANSWER_MS,
        ),
    )


def invocation(function: awslambda.Function) -> Sub:
    """Return by what API Gateway knows a function."""
    place = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions"
    return Sub(f"{place}/${{{function.title}.Arn}}/invocations")


def preflight(path: str, api: apigateway.RestApi, resource: Text) -> apigateway.Method:
    """Let API Gateway itself answer a browser that asks first; such a question carries no token."""
    headers = {f"method.response.header.{name}": f"'{value}'" for name, value in CORS.items()}
    return apigateway.Method(
        f"{camel(path)}Preflight",
        RestApiId=Ref(api),
        ResourceId=resource,
        HttpMethod="OPTIONS",
        AuthorizationType="NONE",
        MethodResponses=[
            apigateway.MethodResponse(
                StatusCode="204", ResponseParameters=dict.fromkeys(headers, True), ResponseModels={}
            )
        ],
        Integration=apigateway.Integration(
            Type="MOCK",
            PassthroughBehavior="WHEN_NO_MATCH",
            RequestTemplates={"application/json": '{"statusCode": 204}'},
            IntegrationResponses=[
                apigateway.IntegrationResponse(
                    StatusCode="204", ResponseParameters=headers, ResponseTemplates={"application/json": ""}
                )
            ],
        ),
    )


def add_permissions(t: Template, api: apigateway.RestApi, family: str, function: awslambda.Function) -> None:
    """Let the API call a family's function for the paths of the family, in every stage."""
    paths = ("", "ping", "api") if family == "meta" else (family, f"{family}/*")
    for number, path in enumerate(paths, start=1):
        t.add_resource(
            awslambda.Permission(
                f"{function.title}Permission{number}",
                Action="lambda:InvokeFunction",
                FunctionName=Ref(function),
                Principal="apigateway.amazonaws.com",
                SourceArn=arn("execute-api", f"${{{api.title}}}/*/*/{path}"),
            )
        )


def add_refusals(t: Template, api: apigateway.RestApi) -> None:
    """Let what API Gateway answers by itself be JSON, with the headers that let a browser read it."""
    headers = {f"gatewayresponse.header.{name}": f"'{value}'" for name, value in CORS.items()}
    for kind, refusal in GATEWAY_REFUSALS.items():
        again = {"gatewayresponse.header.Retry-After": f"'{AGAIN}'"} if refusal.status in {429, 503} else {}
        t.add_resource(
            apigateway.GatewayResponse(
                _title(kind),
                RestApiId=Ref(api),
                ResponseType=kind,
                StatusCode=str(refusal.status),
                ResponseParameters={**headers, **again},
                ResponseTemplates=_told(json.dumps(refusal.message)),
            )
        )
    t.add_resource(
        apigateway.GatewayResponse(
            _title("DEFAULT_4XX"),
            RestApiId=Ref(api),
            ResponseType="DEFAULT_4XX",
            ResponseParameters=headers,
            ResponseTemplates=_told("$context.error.messageString"),
        )
    )


def _title(kind: str) -> str:
    return "".join(part.title() for part in kind.split("_")) + "Response"


def _told(message: str) -> dict[str, str]:
    return {"application/json": f'{{"message": {message}, {EVERYWHERE}'}
