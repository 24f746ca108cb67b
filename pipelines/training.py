"""Training pipeline: a push builds, trains, waits for a person, registers and publishes a model."""

from __future__ import annotations

from troposphere import GetAtt, Output, Ref, Sub, Template, awslambda, codebuild, codepipeline, iam, sns

from atelier.contract.events import LATEST, PublishModel, RegisterModel, StartTraining
from atelier.pipelines import builds, functions, rules, stages
from atelier.pipelines.functions import PIPELINE, SERVING_STACK
from atelier.pipelines.permissions import deployer, may_deploy
from atelier.templates import parts, training_flow
from atelier.templates.parts import allow, arn, bucket_arn, objects, pass_role

FLOW_STACK = "${Prefix}-training-flow"
EXECUTION = "#{codepipeline.PipelineExecutionId}"

QUESTION = """\
Version #{Train.MODEL_VERSION}: #{Train.BITS_PER_BYTE} bits per byte; #{Train.COMPARISON}.
Perplexity #{Train.PERPLEXITY_BEFORE} -> #{Train.PERPLEXITY}.
Commit #{Train.COMMIT}
Data #{Train.DATA_VERSION}
Image #{Train.IMAGE_DIGEST}
Candidate endpoint #{Train.ENDPOINT}, training job #{Train.TRAINING_JOB}"""


def template() -> Template:
    """Render the stack of the training pipeline and its functions."""
    shared = [each for each in training_flow.SHARED if each is not training_flow.REPORTS_TOPIC]
    own = (parts.ARTIFACT_BUCKET, builds.IMAGE_REPOSITORY_URI, rules.SOURCE_REPOSITORY)
    t = parts.stack(
        __doc__ or "", *shared, *own, *training_flow.BUILT, *training_flow.TUNABLE, functions.FLEET_BUCKET
    )
    t.add_resource(parts.layer())
    topic = t.add_resource(reports_topic())
    project = t.add_resource(builds.project(t))
    flow_role, serving_role = (
        t.add_resource(deployer("Flow", FLOW_STACK)),
        t.add_resource(deployer("Serving", SERVING_STACK)),
    )
    steps = [functions.start_flow(t), functions.register(t), functions.publish(t, serving_role)]
    role = t.add_resource(pipeline_role(project, topic, flow_role, steps))
    pipeline = t.add_resource(training_pipeline(role, project, topic, flow_role, steps))
    rules.add(t, pipeline, functions.reject(t))
    t.add_output(Output("PipelineName", Value=Ref(pipeline)))
    t.add_output(Output("ReportsTopicArn", Value=Ref(topic)))
    t.add_output(Output("ServingStackName", Value=Sub(SERVING_STACK)))
    return parts.tagged(t, "training-pipeline")


def training_pipeline(
    role: iam.Role,
    project: codebuild.Project,
    topic: sns.Topic,
    flow_role: iam.Role,
    steps: list[awslambda.Function],
) -> codepipeline.Pipeline:
    """Take a commit from source to an answer over HTTP; a newer run overtakes an older one between stages."""
    start_flow, register, publish = steps
    actions = [
        stages.source(Ref(rules.SOURCE_REPOSITORY), rules.BRANCH),
        stages.build(project, COMMIT="#{Source.CommitId}"),
        stages.deploy(
            "Deploy", Sub(FLOW_STACK), "training-flow", GetAtt(flow_role, "Arn"), flow_parameters(topic)
        ),
        stages.invoke("Train", start_flow, train()),
        stages.approve(Ref(topic), QUESTION),
        stages.invoke("Register", register, registration()),
        stages.invoke("Publish", publish, publication()),
    ]
    return codepipeline.Pipeline(
        "Pipeline",
        Name=Sub(PIPELINE),
        PipelineType="V2",
        ExecutionMode="SUPERSEDED",
        RoleArn=GetAtt(role, "Arn"),
        ArtifactStore=codepipeline.ArtifactStore(Type="S3", Location=Ref(parts.ARTIFACT_BUCKET)),
        Variables=[
            codepipeline.VariableDeclaration(
                Name="DATA_VERSION", DefaultValue=LATEST, Description="The version of the training data."
            )
        ],
        Stages=[stages.stage(each) for each in actions],
    )


def flow_parameters(topic: sns.Topic) -> Sub:
    """Hand on to the flow's stack what this stack knows, and what the build made."""
    own = [*training_flow.SHARED, *training_flow.TUNABLE]
    return stages.overrides(
        {each.title: Ref(each) for each in own}
        | {training_flow.REPORTS_TOPIC.title: Ref(topic)}
        | {parts.CODE_KEY.title: "#{Build.CODE_KEY}", parts.LAYER_KEY.title: "#{Build.LAYER_KEY}"}
    )


def train() -> StartTraining:
    """Say what to train."""
    return StartTraining(
        execution=EXECUTION,
        commit="#{Source.CommitId}",
        image="#{Build.IMAGE_URI}",
        image_digest="#{Build.IMAGE_DIGEST}",
        data_version="#{variables.DATA_VERSION}",
    )


def registration() -> RegisterModel:
    """Say which version was approved, and where."""
    return RegisterModel(
        version="#{Train.MODEL_VERSION}",
        execution=EXECUTION,
        approval="Approve",
    )


def publication() -> PublishModel:
    """Say which version to publish, and what the serving API is made of."""
    return PublishModel(
        version="#{Train.MODEL_VERSION}",
        template_key="#{Build.SERVING_TEMPLATE_KEY}",
        code_key="#{Build.CODE_KEY}",
        layer_key="#{Build.LAYER_KEY}",
    )


def reports_topic() -> sns.Topic:
    """Tell people that a model waits for them, or why there is none."""
    return sns.Topic("Reports", DisplayName="Atelier training")


def pipeline_role(
    project: codebuild.Project, topic: sns.Topic, flow_role: iam.Role, steps: list[awslambda.Function]
) -> iam.Role:
    """Let the pipeline do what its actions do, on what they name."""
    source = [
        "codecommit:GetBranch",
        "codecommit:GetCommit",
        "codecommit:UploadArchive",
        "codecommit:GetUploadArchiveStatus",
        "codecommit:CancelUploadArchive",
    ]
    return parts.role(
        "PipelineRole",
        "codepipeline.amazonaws.com",
        allow(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], *objects(parts.ARTIFACT_BUCKET)),
        allow(["s3:GetBucketVersioning", "s3:GetBucketLocation"], bucket_arn(parts.ARTIFACT_BUCKET)),
        allow(source, arn("codecommit", "${SourceRepositoryName}")),
        allow(["codebuild:StartBuild", "codebuild:BatchGetBuilds"], GetAtt(project, "Arn")),
        *may_deploy(FLOW_STACK),
        pass_role("cloudformation.amazonaws.com", GetAtt(flow_role, "Arn")),
        allow(["lambda:InvokeFunction"], *(GetAtt(each, "Arn") for each in steps)),
        allow(["sns:Publish"], Ref(topic)),
    )
