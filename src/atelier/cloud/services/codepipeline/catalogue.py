"""The action types that the local cloud has, and what their configuration may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MINUTES_PER_DAY = 24 * 60


@dataclass(frozen=True, kw_only=True)
class ActionType:
    """One type: its configuration's keys, how many artifacts it takes and gives, and how long it may take."""

    category: str
    provider: str
    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    inputs: tuple[int, int] = (0, 0)
    outputs: tuple[int, int] = (0, 0)
    minutes: int
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Values that the local cloud has, for keys of which AWS knows more."""


CODE_COMMIT = ActionType(
    category="Source",
    provider="CodeCommit",
    required=frozenset({"RepositoryName", "BranchName"}),
    optional=frozenset({"PollForSourceChanges", "OutputArtifactFormat"}),
    outputs=(1, 1),
    minutes=60,
    values={"PollForSourceChanges": frozenset({"false"}), "OutputArtifactFormat": frozenset({"CODE_ZIP"})},
)
CODE_BUILD = ActionType(
    category="Build",
    provider="CodeBuild",
    required=frozenset({"ProjectName"}),
    optional=frozenset({"PrimarySource", "EnvironmentVariables"}),
    inputs=(1, 5),
    outputs=(0, 5),
    minutes=8 * 60,
)
CLOUD_FORMATION = ActionType(
    category="Deploy",
    provider="CloudFormation",
    required=frozenset({"ActionMode", "StackName", "RoleArn"}),
    optional=frozenset(
        {"TemplatePath", "TemplateConfiguration", "ParameterOverrides", "Capabilities", "OutputFileName"}
    ),
    inputs=(0, 10),
    outputs=(0, 1),
    minutes=3 * MINUTES_PER_DAY,
    values={"ActionMode": frozenset({"CREATE_UPDATE", "REPLACE_ON_FAILURE", "DELETE_ONLY"})},
)
LAMBDA = ActionType(
    category="Invoke",
    provider="Lambda",
    required=frozenset({"FunctionName"}),
    optional=frozenset({"UserParameters"}),
    inputs=(0, 5),
    outputs=(0, 5),
    minutes=MINUTES_PER_DAY,
)
MANUAL = ActionType(
    category="Approval",
    provider="Manual",
    required=frozenset(),
    optional=frozenset({"NotificationArn", "CustomData", "ExternalEntityLink"}),
    minutes=7 * MINUTES_PER_DAY,
)
TYPES = (CODE_COMMIT, CODE_BUILD, CLOUD_FORMATION, LAMBDA, MANUAL)


def find(action_type: Mapping[str, Any]) -> ActionType | None:
    """Return the type that an ``actionTypeId`` names."""
    if (action_type["owner"], action_type["version"]) != ("AWS", "1"):
        return None
    wanted = (action_type["category"], action_type["provider"])
    if wanted == ("Test", "CodeBuild"):
        return CODE_BUILD
    return next((each for each in TYPES if (each.category, each.provider) == wanted), None)
