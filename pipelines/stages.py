"""The stages that pipelines are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from troposphere import AWSHelperFn, Ref, Sub, awslambda, codebuild, codepipeline

from atelier.contract.documents import dump

Text: TypeAlias = "str | AWSHelperFn"

LONGEST_PARAMETERS = 1000
"""Characters of a configuration value that CodePipeline takes."""


def stage(action: codepipeline.Actions) -> codepipeline.Stages:
    """Return a stage of one action, named like it."""
    return codepipeline.Stages(Name=action.Name, Actions=[action])


def source(repository: Text, branch: str) -> codepipeline.Actions:
    """Take a branch's head from CodeCommit; EventBridge tells when it moves."""
    return _action(
        "Source",
        "Source",
        "CodeCommit",
        {
            "RepositoryName": repository,
            "BranchName": branch,
            "PollForSourceChanges": "false",
            "OutputArtifactFormat": "CODE_ZIP",
        },
        gives="Source",
    )


def build(
    project: codebuild.Project, name: str = "Build", gives: str | None = "Templates", **variables: str
) -> codepipeline.Actions:
    """Build with CodeBuild; the buildspec says which variables it hands on."""
    given = [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()]
    return _action(
        name,
        "Build",
        "CodeBuild",
        {"ProjectName": Ref(project), "EnvironmentVariables": json.dumps(given)},
        takes="Source",
        gives=gives,
    )


def deploy(name: str, stack: Text, template: str, role: Text, parameters: Text) -> codepipeline.Actions:
    """Create or update a stack from a template that the build rendered."""
    return _action(
        name,
        "Deploy",
        "CloudFormation",
        {
            "ActionMode": "CREATE_UPDATE",
            "StackName": stack,
            "TemplatePath": f"Templates::{template}.json",
            "Capabilities": "CAPABILITY_IAM",
            "RoleArn": role,
            "ParameterOverrides": parameters,
        },
        takes="Templates",
    )


def invoke(name: str, function: awslambda.Function, parameters: Any) -> codepipeline.Actions:
    """Call a function with *parameters*, a dataclass of the contract."""
    text = dump(parameters)
    if len(text) > LONGEST_PARAMETERS:
        raise ValueError(f"{name}: user parameters have {len(text)} characters")
    return _action(name, "Invoke", "Lambda", {"FunctionName": Ref(function), "UserParameters": text})


def approve(topic: Text, question: str) -> codepipeline.Actions:
    """Wait for a person; *question* holds the facts to decide on."""
    if len(question) > LONGEST_PARAMETERS:
        raise ValueError(f"the question has {len(question)} characters")
    return _action("Approve", "Approval", "Manual", {"NotificationArn": topic, "CustomData": question})


def _action(
    name: str,
    category: str,
    provider: str,
    configuration: Mapping[str, Text],
    *,
    takes: str | None = None,
    gives: str | None = None,
) -> codepipeline.Actions:
    """Return an action whose variables are in a namespace of its own name."""
    action = codepipeline.Actions(
        Name=name,
        ActionTypeId=codepipeline.ActionTypeId(
            Category=category, Owner="AWS", Provider=provider, Version="1"
        ),
        Configuration=dict(configuration),
        RunOrder=1,
    )
    if category != "Approval":
        action.Namespace = name
    if takes:
        action.InputArtifacts = [codepipeline.InputArtifacts(Name=takes)]
    if gives:
        action.OutputArtifacts = [codepipeline.OutputArtifacts(Name=gives)]
    return action


def pipeline_arn(pipeline: codepipeline.Pipeline) -> Sub:
    """Return a pipeline's ARN, which CloudFormation does not hand out."""
    return Sub(
        "arn:${AWS::Partition}:codepipeline:${AWS::Region}:${AWS::AccountId}:${Pipeline}",
        Pipeline=Ref(pipeline),
    )


def overrides(given: Mapping[str, Text]) -> Sub:
    """Return a stack's parameters as the JSON that a CloudFormation action takes.

    What comes from the pipeline's own parameters is filled in by CloudFormation, the rest by CodePipeline.
    """
    names = {name: value for name, value in given.items() if not isinstance(value, str)}
    text = json.dumps(
        {name: value if isinstance(value, str) else f"${{{name}}}" for name, value in given.items()}
    )
    return Sub(text, **{name: value for name, value in names.items() if not _is_parameter(name, value)})


def _is_parameter(name: str, value: Text) -> bool:
    return isinstance(value, Ref) and value.data == {"Ref": name}
