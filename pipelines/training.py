"""Training pipeline: a push builds, trains, waits for a person, registers and publishes a model."""

from __future__ import annotations

from troposphere import (
    GetAtt,
    Output,
    Parameter,
    Ref,
    Sub,
    Template,
    awslambda,
    codebuild,
    codepipeline,
    events,
    iam,
    logs,
    sns,
)

from atelier.contract.events import LATEST, MODEL, PublishModel, RegisterModel, StartTraining
from atelier.contract.settings import PublishSettings, RegisterSettings, RejectSettings, StartFlowSettings
from atelier.pipelines import stages
from atelier.pipelines.permissions import deployer, may_deploy
from atelier.templates import parts, training_flow
from atelier.templates.parts import allow, arn, bucket_arn, objects, pass_role, table_arn

IMAGE_REPOSITORY_URI = Parameter(
    "ImageRepositoryUri", Type="String", Description="Where images are pushed to, as ECR says it."
)
SOURCE_REPOSITORY = Parameter(
    "SourceRepositoryName", Type="String", Description="The CodeCommit repository of the source."
)
BRANCH = "main"
PIPELINE = "${Prefix}-training"
FLOW_STACK = "${Prefix}-training-flow"
SERVING_STACK = "${Prefix}-serving-api"
STATE_MACHINE = f"stateMachine:{training_flow.STATE_MACHINE_NAME}"
EXECUTIONS = f"execution:{training_flow.STATE_MACHINE_NAME}:*"
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
    own = (parts.ARTIFACT_BUCKET, IMAGE_REPOSITORY_URI, SOURCE_REPOSITORY)
    t = parts.stack(__doc__ or "", *shared, *own, *training_flow.BUILT, *training_flow.TUNABLE)
    t.add_resource(parts.layer())
    topic = t.add_resource(reports_topic())
    project = t.add_resource(build_project(t))
    flow_role, serving_role = (
        t.add_resource(deployer("Flow", FLOW_STACK)),
        t.add_resource(deployer("Serving", SERVING_STACK)),
    )
    steps = [start_flow_function(t), register_function(t), publish_function(t, serving_role)]
    role = t.add_resource(pipeline_role(project, topic, flow_role, steps))
    pipeline = t.add_resource(training_pipeline(role, project, topic, flow_role, steps))
    add_rules(t, pipeline, reject_function(t))
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
        stages.source(Ref(SOURCE_REPOSITORY), BRANCH),
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


def build_project(t: Template) -> codebuild.Project:
    """Build the image by digest, the functions' zip and the templates, from one commit."""
    group = t.add_resource(parts.log_group("BuildLog"))
    role = t.add_resource(build_role(group))
    variables = {
        "RepositoryUri": Ref(IMAGE_REPOSITORY_URI),
        "RepositoryName": Ref(parts.IMAGE_REPOSITORY),
        "CodeBucket": Ref(parts.CODE_BUCKET),
    }
    return codebuild.Project(
        "Build",
        Description="Builds the training image, the functions and the templates",
        ServiceRole=GetAtt(role, "Arn"),
        Source=codebuild.Source(Type="CODEPIPELINE", BuildSpec="buildspecs/training.yml"),
        Artifacts=codebuild.Artifacts(Type="CODEPIPELINE"),
        Environment=codebuild.Environment(
            Type="LINUX_CONTAINER",
            ComputeType="BUILD_GENERAL1_MEDIUM",
            Image="aws/codebuild/standard:7.0",
            PrivilegedMode=True,
            EnvironmentVariables=[
                codebuild.EnvironmentVariable(Name=name, Value=value) for name, value in variables.items()
            ],
        ),
        LogsConfig=codebuild.LogsConfig(
            CloudWatchLogs=codebuild.CloudWatchLogs(Status="ENABLED", GroupName=Ref(group))
        ),
        TimeoutInMinutes=60,
    )


def build_role(group: logs.LogGroup) -> iam.Role:
    """Let the build push images, upload code under its content's key, and hand on artifacts."""
    return parts.role(
        "BuildRole",
        "codebuild.amazonaws.com",
        parts.writes(group),
        allow(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], *objects(parts.ARTIFACT_BUCKET)),
        allow(["s3:GetObject", "s3:PutObject"], *objects(parts.CODE_BUCKET)),
        allow(["s3:ListBucket"], bucket_arn(parts.CODE_BUCKET)),
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:CompleteLayerUpload",
                "ecr:DescribeImages",
                "ecr:GetDownloadUrlForLayer",
                "ecr:InitiateLayerUpload",
                "ecr:PutImage",
                "ecr:UploadLayerPart",
            ],
            arn("ecr", "repository/${ImageRepositoryName}"),
        ),
    )


def start_flow_function(t: Template) -> awslambda.Function:
    """Start the flow for a run, and keep the action open until it ends."""
    return parts.function(
        t,
        "StartFlow",
        handler="pipeline.start_flow",
        settings=parts.environment(
            StartFlowSettings,
            state_machine_arn=arn("states", STATE_MACHINE),
            data_bucket=Ref(parts.DATA_BUCKET),
        ),
        may=[
            allow(["states:StartExecution"], arn("states", STATE_MACHINE)),
            allow(["states:DescribeExecution"], arn("states", EXECUTIONS)),
            allow(["s3:GetObject"], *objects(parts.DATA_BUCKET, "data/LATEST")),
            allow(["s3:ListBucket"], bucket_arn(parts.DATA_BUCKET)),
            *reports_to_pipeline(),
        ],
        why="Starts or joins a run's train-and-deploy flow and follows it to its end",
    )


def reports_to_pipeline() -> list[parts.Statement]:
    """Allow to report a job's result; IAM knows no resource for these."""
    return [allow(["codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult"], "*")]


def register_function(t: Template) -> awslambda.Function:
    """Mark the version approved, with who said so."""
    pipeline = arn("codepipeline", PIPELINE)
    return parts.function(
        t,
        "Register",
        handler="pipeline.register",
        settings=parts.environment(
            RegisterSettings, model_table=Ref(parts.MODEL_TABLE), pipeline=Sub(PIPELINE)
        ),
        may=[
            allow(["dynamodb:GetItem", "dynamodb:PutItem"], table_arn()),
            allow(["codepipeline:ListActionExecutions"], pipeline),
            *reports_to_pipeline(),
        ],
        why="Marks an approved version in the registry",
    )


def publish_function(t: Template, serving_role: iam.Role) -> awslambda.Function:
    """Move what serves to the approved version."""
    return parts.function(
        t,
        "Publish",
        handler="pipeline.publish",
        settings=parts.environment(
            PublishSettings,
            model_table=Ref(parts.MODEL_TABLE),
            candidate_endpoint=training_flow.CANDIDATE,
            stable_endpoint=Sub("${Prefix}-stable"),
            code_bucket=Ref(parts.CODE_BUCKET),
            serving_stack=Sub(SERVING_STACK),
            serving_role_arn=GetAtt(serving_role, "Arn"),
            prefix=Ref(parts.PREFIX),
        ),
        may=[
            allow(["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"], table_arn()),
            *may_publish(),
            *may_deploy(SERVING_STACK),
            pass_role("cloudformation.amazonaws.com", GetAtt(serving_role, "Arn")),
            allow(["s3:GetObject"], *objects(parts.CODE_BUCKET, "templates/*")),
            *reports_to_pipeline(),
        ],
        why="Moves the stable endpoint and the serving API to an approved version",
    )


def may_publish() -> list[parts.Statement]:
    """Allow to move the stable endpoint, and to remove the candidate."""
    stable = arn("sagemaker", "endpoint/${Prefix}-stable")
    candidate = arn("sagemaker", "endpoint/${Prefix}-candidate")
    configs = arn("sagemaker", f"endpoint-config/{MODEL}-*")
    return [
        allow(["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"], stable, configs),
        allow(["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], stable, candidate),
    ]


def reject_function(t: Template) -> awslambda.Function:
    """Take back what nobody will approve."""
    return parts.function(
        t,
        "Reject",
        handler="pipeline.reject",
        settings=parts.environment(
            RejectSettings,
            state_machine_arn=arn("states", STATE_MACHINE),
            model_table=Ref(parts.MODEL_TABLE),
            candidate_endpoint=training_flow.CANDIDATE,
        ),
        may=[
            allow(["dynamodb:GetItem", "dynamodb:PutItem"], table_arn()),
            allow(["states:DescribeExecution", "states:StopExecution"], arn("states", EXECUTIONS)),
            *training_flow.may_discard(),
        ],
        why="Takes back a run that was rejected, superseded or stopped",
    )


def add_rules(t: Template, pipeline: codepipeline.Pipeline, reject: awslambda.Function) -> None:
    """Start the pipeline on a push; take a run back when its approval fails or the run ends early."""
    starter = t.add_resource(
        parts.role(
            "StarterRole",
            "events.amazonaws.com",
            allow(["codepipeline:StartPipelineExecution"], stages.pipeline_arn(pipeline)),
        )
    )
    t.add_resource(push_rule(pipeline, starter))
    action = {"stage": ["Approve"], "action": ["Approve"], "state": ["FAILED"]}
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
