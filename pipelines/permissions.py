"""What CloudFormation may do for a pipeline: exactly the kinds of resources that our stacks hold."""

from __future__ import annotations

from troposphere import Sub, iam

from atelier.templates import parts
from atelier.templates.parts import Statement, allow, arn, objects, pass_role


def may_deploy(stack: str) -> list[Statement]:
    """Allow to create or update one stack, and to see how it goes."""
    actions = ["CreateStack", "DeleteStack", "DescribeStackEvents", "DescribeStacks", "UpdateStack"]
    return [allow([f"cloudformation:{each}" for each in actions], arn("cloudformation", f"stack/{stack}/*"))]


def deployer(title: str, stack: str) -> iam.Role:
    """Return the role that CloudFormation takes for one stack; its name bounds what the role may touch."""
    return parts.role(
        f"{title}DeployRole",
        "cloudformation.amazonaws.com",
        *_functions(stack),
        *_roles(stack),
        *(_state_machine() if title == "Flow" else _api()),
    )


def _functions(stack: str) -> list[Statement]:
    crud = [
        "CreateFunction",
        "DeleteFunction",
        "GetFunction",
        "GetFunctionConfiguration",
        "UpdateFunctionCode",
    ]
    more = [
        "UpdateFunctionConfiguration",
        "TagResource",
        "UntagResource",
        "AddPermission",
        "RemovePermission",
    ]
    layers = ["PublishLayerVersion", "DeleteLayerVersion", "GetLayerVersion"]
    groups = ["CreateLogGroup", "DeleteLogGroup", "PutRetentionPolicy", "TagResource", "UntagResource"]
    return [
        allow([f"lambda:{each}" for each in crud + more], arn("lambda", f"function:{stack}-*")),
        allow(
            [f"lambda:{each}" for each in layers],
            arn("lambda", "layer:${Prefix}-functions"),
            arn("lambda", "layer:${Prefix}-functions:*"),
        ),
        allow([f"logs:{each}" for each in groups], arn("logs", f"log-group:{stack}-*")),
        allow(["logs:DescribeLogGroups"], arn("logs", "log-group:*")),
        allow(["s3:GetObject"], *objects(parts.CODE_BUCKET)),
    ]


def _roles(stack: str) -> list[Statement]:
    policies = ["PutRolePolicy", "GetRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy"]
    crud = ["CreateRole", "DeleteRole", "GetRole", "TagRole", "UntagRole", "UpdateAssumeRolePolicy"]
    roles = Sub(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{stack}-*")
    takers = [f"{each}.amazonaws.com" for each in ("apigateway", "lambda", "states")]
    return [allow([f"iam:{each}" for each in crud + policies], roles), pass_role(takers, roles)]


def _state_machine() -> list[Statement]:
    actions = [
        "CreateStateMachine",
        "DeleteStateMachine",
        "DescribeStateMachine",
        "UpdateStateMachine",
        "TagResource",
        "UntagResource",
        "ListTagsForResource",
    ]
    return [allow([f"states:{each}" for each in actions], arn("states", "stateMachine:${Prefix}-training"))]


def _api() -> list[Statement]:
    methods = [f"apigateway:{each}" for each in ("DELETE", "GET", "PATCH", "POST", "PUT")]
    kinds = ("restapis", "apikeys", "usageplans", "tags")
    resources = [
        Sub(f"arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}::/{kind}{rest}")
        for kind in kinds
        for rest in ("", "/*")
    ]
    account = Sub("arn:${AWS::Partition}:apigateway:${AWS::Region}::/account")
    return [allow(methods, *resources, account)]
