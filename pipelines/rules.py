"""What EventBridge does for the training pipeline: start it, and take back what nobody will approve."""

from __future__ import annotations

from troposphere import GetAtt, Parameter, Ref, Template, awslambda, codepipeline, events, iam

from atelier.pipelines import stages
from atelier.templates import parts
from atelier.templates.parts import allow, arn

SOURCE_REPOSITORY = Parameter(
    "SourceRepositoryName", Type="String", Description="The CodeCommit repository of the source."
)
BRANCH = "main"


def add(t: Template, pipeline: codepipeline.Pipeline, reject: awslambda.Function) -> None:
    """Start the pipeline on a push; take a run back when it fails before its approval or ends early."""
    starter = t.add_resource(
        parts.role(
            "StarterRole",
            "events.amazonaws.com",
            allow(["codepipeline:StartPipelineExecution"], stages.pipeline_arn(pipeline)),
        )
    )
    t.add_resource(push_rule(pipeline, starter))
    action = {"stage": ["Train", "Approve"], "action": ["Train", "Approve"], "state": ["FAILED"]}
    ended = {"state": ["SUPERSEDED", "STOPPED", "CANCELED"]}
    for title, level, detail in (("RejectedRule", "Action", action), ("EndedRule", "Pipeline", ended)):
        rule = t.add_resource(change_rule(title, level, {"pipeline": [Ref(pipeline)], **detail}, reject))
        t.add_resource(
            awslambda.Permission(
                f"{title}Permission",
                Action="lambda:InvokeFunction",
                FunctionName=Ref(reject),
                Principal="events.amazonaws.com",
                SourceArn=GetAtt(rule, "Arn"),
            )
        )


def push_rule(pipeline: codepipeline.Pipeline, starter: iam.Role) -> events.Rule:
    """Start the pipeline when the branch moves."""
    return events.Rule(
        "PushRule",
        Description="A push starts the training pipeline",
        EventPattern={
            "source": ["aws.codecommit"],
            "detail-type": ["CodeCommit Repository State Change"],
            "resources": [arn("codecommit", "${SourceRepositoryName}")],
            "detail": {
                "event": ["referenceCreated", "referenceUpdated"],
                "referenceType": ["branch"],
                "referenceName": [BRANCH],
            },
        },
        Targets=[
            events.Target(Id="Pipeline", Arn=stages.pipeline_arn(pipeline), RoleArn=GetAtt(starter, "Arn"))
        ],
    )


def change_rule(
    title: str, level: str, detail: dict[str, object], function: awslambda.Function
) -> events.Rule:
    """Call a function when a pipeline's state changes as *detail* says."""
    return events.Rule(
        title,
        Description="A run that nobody will approve is taken back",
        EventPattern={
            "source": ["aws.codepipeline"],
            "detail-type": [f"CodePipeline {level} Execution State Change"],
            "detail": detail,
        },
        Targets=[events.Target(Id="Reject", Arn=GetAtt(function, "Arn"))],
    )
