"""The functions around the WebUI's pipeline: they start it, publish what it made, and keep its history."""

from __future__ import annotations

from collections.abc import Sequence

from troposphere import GetAtt, Parameter, Ref, Sub, Template, awslambda, codebuild, sns

from atelier.contract import webui
from atelier.contract.settings import ChangesSettings, FollowSettings, PublishImageSettings, TrackSettings
from atelier.pipelines.functions import reports_to_pipeline
from atelier.pipelines.rules import BRANCH, SOURCE_REPOSITORY
from atelier.templates import parts
from atelier.templates.parts import Statement, Text, allow, arn
from atelier.templates.webui_state import PARAMETERS

PIPELINE = "${Prefix}-webui"
HISTORY = Parameter(
    "WebuiHistoryTableName", Type="String", Description="The table of how the WebUI's images came to be."
)
SOURCE = arn("codecommit", f"${{{SOURCE_REPOSITORY.title}}}")


def track(t: Template, topic: sns.Topic, projects: Sequence[codebuild.Project]) -> awslambda.Function:
    """Look whether upstream has moved, and start the pipeline with the commit that it moved to."""
    return parts.function(
        t,
        "Track",
        handler="upstream.track",
        settings=parts.environment(
            TrackSettings,
            history_table=Ref(HISTORY),
            pipeline=Sub(PIPELINE),
            source_repository=Ref(SOURCE_REPOSITORY),
            source_branch=BRANCH,
            reports_topic_arn=Ref(topic),
        ),
        may=[
            allow(["codecommit:GetFile"], SOURCE),
            allow(["codepipeline:StartPipelineExecution"], _pipeline()),
            *reads_runs(t, projects),
            remembers(),
            tells(topic),
        ],
        why="Looks whether upstream has moved, and starts the pipeline of the WebUI's image",
    )


def changes(t: Template) -> awslambda.Function:
    """Start the pipeline for a push that touches what the image is made of."""
    return parts.function(
        t,
        "Changes",
        handler="webui.changed",
        settings=parts.environment(ChangesSettings, pipeline=Sub(PIPELINE)),
        may=[
            allow(["codecommit:GetDifferences"], SOURCE),
            allow(["codepipeline:StartPipelineExecution"], _pipeline()),
        ],
        why="Starts the pipeline of the WebUI's image for pushes that touch it",
    )


def publish(t: Template, topic: sns.Topic) -> awslambda.Function:
    """Make a tested image the latest one."""
    names = [
        arn("ssm", f"parameter{PARAMETERS}/{each}") for each in (webui.IMAGE, webui.COMMIT, webui.PROVENANCE)
    ]
    return parts.function(
        t,
        "Publish",
        handler="webui.publish",
        settings=parts.environment(
            PublishImageSettings,
            history_table=Ref(HISTORY),
            parameter_path=Sub(PARAMETERS),
            reports_topic_arn=Ref(topic),
        ),
        may=[
            allow(["ssm:GetParameter", "ssm:PutParameter"], *names),
            remembers(),
            tells(topic),
            *reports_to_pipeline(),
        ],
        why="Makes a tested image of the WebUI the latest one",
    )


def follow(t: Template, topic: sns.Topic, projects: Sequence[codebuild.Project]) -> awslambda.Function:
    """Keep the history, and tell people what failed."""
    return parts.function(
        t,
        "Follow",
        handler="webui.follow",
        settings=parts.environment(
            FollowSettings,
            history_table=Ref(HISTORY),
            pipeline=Sub(PIPELINE),
            reports_topic_arn=Ref(topic),
        ),
        may=[
            *reads_runs(t, projects),
            remembers(),
            tells(topic),
        ],
        why="Keeps the history of the WebUI's images",
    )


def reads_runs(t: Template, projects: Sequence[codebuild.Project]) -> list[Statement]:
    """Allow to see how runs ended, and what their builds said last."""
    logs = [GetAtt(t.resources[f"{each.title}Log"], "Arn") for each in projects]
    return [
        allow(["codepipeline:GetPipelineExecution", "codepipeline:ListActionExecutions"], _pipeline()),
        allow(["codebuild:BatchGetBuilds"], *(GetAtt(each, "Arn") for each in projects)),
        allow(["logs:GetLogEvents"], *logs),
    ]


def remembers() -> Statement:
    """Allow to read and write the history, item by item."""
    table = arn("dynamodb", f"table/${{{HISTORY.title}}}")
    return allow(["dynamodb:GetItem", "dynamodb:PutItem"], table)


def tells(topic: sns.Topic) -> Statement:
    """Allow to tell people."""
    return allow(["sns:Publish"], Ref(topic))


def _pipeline() -> Text:
    return arn("codepipeline", PIPELINE)
