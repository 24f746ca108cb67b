"""What CloudFormation may do for a pipeline: exactly the kinds of resources that our stacks hold."""

from __future__ import annotations

from troposphere import Sub, iam

from atelier.templates import parts
from atelier.templates.parts import Statement, Text, allow, arn, objects, pass_role

TAGGING = ("TagResource", "UntagResource")
FUNCTION = (
    "AddPermission",
    "CreateFunction",
    "DeleteFunction",
    "GetFunction",
    "GetFunctionCodeSigningConfig",
    "GetFunctionConfiguration",
    "GetFunctionRecursionConfig",
    "GetPolicy",
    "GetRuntimeManagementConfig",
    "ListTags",
    "RemovePermission",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
)
LAYER = ["DeleteLayerVersion", "GetLayerVersion", "PublishLayerVersion"]
LOG_GROUP = (
    "CreateLogGroup",
    "DeleteLogGroup",
    "DescribeIndexPolicies",
    "GetDataProtectionPolicy",
    "ListTagsForResource",
    "PutRetentionPolicy",
)
ROLE = [
    "CreateRole",
    "DeleteRole",
    "DeleteRolePolicy",
    "DetachRolePolicy",
    "GetRole",
    "GetRolePolicy",
    "ListAttachedRolePolicies",
    "ListRolePolicies",
    "PutRolePolicy",
    "TagRole",
    "UntagRole",
    "UpdateAssumeRolePolicy",
]
STATE_MACHINE = (
    "CreateStateMachine",
    "DeleteStateMachine",
    "DescribeStateMachine",
    "ListTagsForResource",
    "UpdateStateMachine",
)


def may_deploy(stack: str) -> list[Statement]:
    """Allow to create or update one stack with its tags, and to see how it goes."""
    actions = ["CreateStack", "DeleteStack", "DescribeStackEvents", "DescribeStacks", "UpdateStack"]
    return [_actions("cloudformation", [*actions, *TAGGING], arn("cloudformation", f"stack/{stack}/*"))]


def deployer(title: str, stack: str) -> iam.Role:
    """Return the role that CloudFormation takes for one stack; its name bounds what the role may touch."""
    return parts.role(
        f"{title}DeployRole",
        "cloudformation.amazonaws.com",
        *_functions(stack),
        *_roles(stack),
        *(_state_machine() if title == "Flow" else _api()),
    )


def _actions(service: str, names: list[str], *resources: Text) -> Statement:
    return allow([f"{service}:{each}" for each in names], *resources)


def _functions(stack: str) -> list[Statement]:
    layer = "layer:${Prefix}-functions"
    return [
        _actions("lambda", [*FUNCTION, *TAGGING], arn("lambda", f"function:{stack}-*")),
        _actions("lambda", LAYER, arn("lambda", layer), arn("lambda", f"{layer}:*")),
        _actions("logs", [*LOG_GROUP, *TAGGING], arn("logs", f"log-group:{stack}-*")),
        allow(["logs:DescribeLogGroups"], arn("logs", "log-group:*")),
        allow(["s3:GetObject"], *objects(parts.CODE_BUCKET)),
    ]


def _roles(stack: str) -> list[Statement]:
    roles = Sub(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{stack}-*")
    takers = [f"{each}.amazonaws.com" for each in ("lambda", "states")]
    return [_actions("iam", ROLE, roles), pass_role(takers, roles)]


def _state_machine() -> list[Statement]:
    machine = arn("states", "stateMachine:${Prefix}-training")
    return [_actions("states", [*STATE_MACHINE, *TAGGING], machine)]


def _api() -> list[Statement]:
    kinds = ("restapis", "apikeys", "usageplans", "tags")
    paths = [f"{kind}{rest}" for kind in kinds for rest in ("", "/*")]
    resources = [Sub(f"arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}::/{each}") for each in paths]
    return [_actions("apigateway", ["DELETE", "GET", "PATCH", "POST", "PUT"], *resources)]
