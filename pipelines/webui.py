"""WebUI pipeline: an upstream commit, or a push of ours, becomes a tested image with our extension."""

from __future__ import annotations

from collections.abc import Sequence

from troposphere import (
    Equals,
    GetAtt,
    If,
    NoValue,
    Output,
    Parameter,
    Ref,
    Sub,
    Template,
    awslambda,
    cloudwatch,
    codebuild,
    codepipeline,
    events,
    iam,
    scheduler,
    sns,
)

from atelier.contract.webui import LATEST_GOOD, PublishImage
from atelier.pipelines import rules, stages, webui_builds, webui_functions
from atelier.pipelines.webui_functions import PIPELINE
from atelier.templates import parts
from atelier.templates.parts import allow, arn, bucket_arn, objects

APPROVAL = Parameter(
    "WebuiApproval",
    Type="String",
    Default="false",
    AllowedValues=["true", "false"],
    Description="Whether a person approves an image before it is the latest.",
)
RATE = Parameter(
    "UpstreamRate",
    Type="String",
    Default="rate(15 minutes)",
    AllowedPattern=r"(rate|cron)\(.+\)",
    Description="How often to look whether upstream has moved, as EventBridge Scheduler says it.",
)
IS_APPROVED = "IsApproved"

QUESTION = """\
The WebUI at upstream's #{Build.UPSTREAM_COMMIT} (#{Build.UPSTREAM_URL})
with the extension of #{Source.CommitId}.
It starts in #{Test.STARTUP_SECONDS} s, has #{Test.SIZE_BYTES} bytes, and shows our tab.
Image #{Build.IMAGE_URI}"""


def template() -> Template:
    """Render the stack of the WebUI's pipeline and its functions."""
    given = (parts.PREFIX, parts.CODE_BUCKET, parts.CODE_KEY, parts.LAYER_KEY, parts.ARTIFACT_BUCKET)
    state = (webui_builds.REPOSITORY, webui_builds.REPOSITORY_URI, webui_functions.HISTORY)
    chosen = (APPROVAL, RATE, webui_builds.BASE_IMAGE, webui_builds.ACCELERATOR)
    t = parts.stack(__doc__ or "", *given, rules.SOURCE_REPOSITORY, *state, *chosen)
    t.add_condition(IS_APPROVED, Equals(Ref(APPROVAL), "true"))
    t.add_resource(parts.layer())
    topic = t.add_resource(sns.Topic("Reports", DisplayName="Atelier WebUI"))
    projects = [webui_builds.build(t), webui_builds.test(t)]
    publish = webui_functions.publish(t, topic)
    role = t.add_resource(pipeline_role(projects, topic, publish))
    pipeline = t.add_resource(webui_pipeline(role, projects, topic, publish))
    called_on(t, "PushRule", push(), webui_functions.changes(t))
    called_on(t, "RunRule", run(pipeline), webui_functions.follow(t, topic, projects))
    track = webui_functions.track(t, topic, projects)
    schedule = t.add_resource(clock(t, track))
    for each in ("Changes", "Follow", "Track"):
        t.add_resource(alarm(t.resources[each], topic))
    t.add_output(Output("WebuiPipelineName", Value=Ref(pipeline)))
    t.add_output(Output("WebuiReportsTopicArn", Value=Ref(topic)))
    t.add_output(Output("WebuiTrackFunctionName", Value=Ref(track)))
    t.add_output(Output("WebuiScheduleName", Value=Ref(schedule)))
    return parts.tagged(t, "webui-pipeline")


def webui_pipeline(
    role: iam.Role, projects: Sequence[codebuild.Project], topic: sns.Topic, publish: awslambda.Function
) -> codepipeline.Pipeline:
    """Take an upstream commit to the image that is launched; a newer run overtakes an older one."""
    build, test = projects
    commits = {"COMMIT": "#{Source.CommitId}", "UPSTREAM_COMMIT": "#{variables.UPSTREAM_COMMIT}"}
    image = {"IMAGE_URI": "#{Build.IMAGE_URI}", "IMAGE_DIGEST": "#{Build.IMAGE_DIGEST}"}
    approval = stages.stage(stages.approve(Ref(topic), QUESTION))
    return codepipeline.Pipeline(
        "Pipeline",
        Name=Sub(PIPELINE),
        PipelineType="V2",
        ExecutionMode="SUPERSEDED",
        RoleArn=GetAtt(role, "Arn"),
        ArtifactStore=codepipeline.ArtifactStore(Type="S3", Location=Ref(parts.ARTIFACT_BUCKET)),
        Variables=[
            codepipeline.VariableDeclaration(
                Name="UPSTREAM_COMMIT",
                DefaultValue=LATEST_GOOD,
                Description=f"The upstream commit to build, or {LATEST_GOOD}.",
            )
        ],
        Stages=[
            stages.stage(stages.source(Ref(rules.SOURCE_REPOSITORY), rules.BRANCH)),
            stages.stage(stages.build(build, gives=None, **commits)),
            stages.stage(stages.build(test, "Test", gives=None, **image)),
            If(IS_APPROVED, approval, NoValue),
            stages.stage(stages.invoke("Publish", publish, publication())),
        ],
    )


def publication() -> PublishImage:
    """Say what to publish, and where it comes from."""
    return PublishImage(
        run="#{codepipeline.PipelineExecutionId}",
        upstream="#{Build.UPSTREAM_COMMIT}",
        upstream_url="#{Build.UPSTREAM_URL}",
        source="#{Source.CommitId}",
        tag="#{Build.IMAGE_TAG}",
        image="#{Build.IMAGE_URI}",
        size_bytes="#{Test.SIZE_BYTES}",
        startup_seconds="#{Test.STARTUP_SECONDS}",
    )


def pipeline_role(
    projects: Sequence[codebuild.Project], topic: sns.Topic, publish: awslambda.Function
) -> iam.Role:
    """Let the pipeline do what its actions do, on what they name."""
    reads = ("GetBranch", "GetCommit", "UploadArchive", "GetUploadArchiveStatus", "CancelUploadArchive")
    built = [GetAtt(each, "Arn") for each in projects]
    return parts.role(
        "PipelineRole",
        "codepipeline.amazonaws.com",
        allow(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], *objects(parts.ARTIFACT_BUCKET)),
        allow(["s3:GetBucketVersioning", "s3:GetBucketLocation"], bucket_arn(parts.ARTIFACT_BUCKET)),
        allow([f"codecommit:{each}" for each in reads], webui_functions.SOURCE),
        allow(["codebuild:StartBuild", "codebuild:BatchGetBuilds"], *built),
        allow(["lambda:InvokeFunction"], GetAtt(publish, "Arn")),
        allow(["sns:Publish"], Ref(topic)),
    )


def push() -> dict[str, object]:
    """Return the pattern of a push to the branch; which paths it touches, no pattern can say."""
    return {
        "source": ["aws.codecommit"],
        "detail-type": ["CodeCommit Repository State Change"],
        "resources": [arn("codecommit", f"${{{rules.SOURCE_REPOSITORY.title}}}")],
        "detail": {
            "event": ["referenceCreated", "referenceUpdated"],
            "referenceType": ["branch"],
            "referenceName": [rules.BRANCH],
        },
    }


def run(pipeline: codepipeline.Pipeline) -> dict[str, object]:
    """Return the pattern of a run that begins, begins again, or ends without an image."""
    return {
        "source": ["aws.codepipeline"],
        "detail-type": ["CodePipeline Pipeline Execution State Change"],
        "detail": {
            "pipeline": [Ref(pipeline)],
            "state": ["STARTED", "RESUMED", "FAILED", "SUPERSEDED", "STOPPED", "CANCELED"],
        },
    }


def called_on(t: Template, title: str, pattern: dict[str, object], function: awslambda.Function) -> None:
    """Call a function for the events of a pattern."""
    target = events.Target(Id=function.title, Arn=GetAtt(function, "Arn"))
    rule = t.add_resource(
        events.Rule(title, Description=function.Description, EventPattern=pattern, Targets=[target])
    )
    t.add_resource(
        awslambda.Permission(
            f"{title}Permission",
            Action="lambda:InvokeFunction",
            FunctionName=Ref(function),
            Principal="events.amazonaws.com",
            SourceArn=GetAtt(rule, "Arn"),
        )
    )


def alarm(function: awslambda.Function, topic: sns.Topic) -> cloudwatch.Alarm:
    """Tell people when a function fails that nobody waits for: what it should have noticed may go unseen."""
    return cloudwatch.Alarm(
        f"{function.title}Alarm",
        AlarmDescription=f"The function {function.title} fails: its log says why",
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Dimensions=[cloudwatch.MetricDimension(Name="FunctionName", Value=Ref(function))],
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        AlarmActions=[Ref(topic)],
        OKActions=[Ref(topic)],
    )


def clock(t: Template, track: awslambda.Function) -> scheduler.Schedule:
    """Look again and again; a look that is missed costs nothing, the next one sees as much."""
    caller = t.add_resource(
        parts.role(
            "ClockRole",
            "scheduler.amazonaws.com",
            allow(["lambda:InvokeFunction"], GetAtt(track, "Arn")),
        )
    )
    return scheduler.Schedule(
        "Clock",
        Description=track.Description,
        ScheduleExpression=Ref(RATE),
        FlexibleTimeWindow=scheduler.FlexibleTimeWindow(Mode="OFF"),
        Target=scheduler.Target(Arn=GetAtt(track, "Arn"), RoleArn=GetAtt(caller, "Arn")),
    )
