"""Middleware work: the state machine of trainings, merges and crops; no cost while there are none."""

from __future__ import annotations

from troposphere import GetAtt, Output, Parameter, Ref, Sub, Template, awslambda, iam, stepfunctions

from atelier.contract import keys
from atelier.contract.settings import WorkSettings, WorkStepsSettings
from atelier.templates import middleware_parts as middle
from atelier.templates import middleware_storage as storage
from atelier.templates import parts, work_flow
from atelier.templates.parts import Statement, allow, arn, pass_role

SUCCESS_TOPIC = Parameter(
    "WorkSuccessTopicArn", Type="String", Description="Where it is told that work is done."
)
ERROR_TOPIC = Parameter(
    "WorkErrorTopicArn", Type="String", Description="Where it is told that work has failed, and why."
)
LONGEST = Parameter(
    "WorkSeconds",
    Type="Number",
    Default="86400",
    MinValue=60,
    MaxValue=432000,
    Description="How long a training, a merge or a crop may run.",
)
KINDS = ("lora", "merge", "crop")
MACHINE = "${Prefix}-work"
MACHINE_ARN = f"stateMachine:{MACHINE}"
STEP_SECONDS = 120
WATCH_SECONDS = 60
EVERY = "rate(5 minutes)"


def template() -> Template:
    """Render the stack of the middleware's work."""
    t = middle.code_stack(
        __doc__ or "",
        middle.BUCKET,
        middle.CHECKPOINTS,
        middle.WORK,
        middle.DATASETS,
        middle.WORK_INSTANCE,
        middle.ENDPOINT_IMAGE,
        SUCCESS_TOPIC,
        ERROR_TOPIC,
        LONGEST,
    )
    steps = {each: step(t, each, why) for each, why in STEPS.items()}
    job = t.add_resource(job_role())
    role = t.add_resource(machine_role(job, *steps.values()))
    machine = t.add_resource(state_machine(role, job, steps))
    add_reconciler(t)
    t.add_output(Output(middle.WORK_MACHINE.title, Value=Ref(machine)))
    return parts.tagged(t, "middleware-work")


STEPS = {
    "Begin": "Says that work has begun",
    "Finish": "Lets what work has made be used",
    "Fail": "Keeps why work has failed, and takes back what it had reserved",
}


def step(t: Template, title: str, why: str) -> awslambda.Function:
    """Add a function that the state machine calls."""
    return middle.function(
        t,
        title,
        module="work",
        entry=title.lower(),
        settings=parts.environment(
            WorkStepsSettings,
            work_table=Ref(middle.WORK),
            datasets_table=Ref(middle.DATASETS),
            checkpoints_table=Ref(middle.CHECKPOINTS),
            bucket=Ref(middle.BUCKET),
        ),
        may=storage.keeping_work()[:1] if title == "Begin" else keeping(),
        why=why,
        timeout=STEP_SECONDS,
    )


def keeping() -> list[Statement]:
    """Allow to keep work and whatever it makes."""
    return [*storage.keeping_work(), *storage.keeping_datasets(), *storage.keeping_checkpoints()]


def job_role() -> iam.Role:
    """Let a job read checkpoints, datasets and what it is asked, and write what it makes and tells."""
    made = [f"{keys.CHECKPOINTS}{each}/" for each in ("Lora", "Stable-diffusion")]
    return parts.role(
        "JobRole",
        "sagemaker.amazonaws.com",
        middle.on_objects(["s3:GetObject"], keys.CHECKPOINTS, keys.DATASETS, keys.WORK),
        middle.on_objects(["s3:PutObject", "s3:AbortMultipartUpload"], *made, keys.DATASETS, keys.WORK),
        middle.on_objects(["s3:DeleteObject"], keys.WORK),
        allow(["s3:ListBucket"], parts.bucket_arn(middle.BUCKET)),
        allow(
            ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
            arn("ecr", "repository/*"),
        ),
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            arn("logs", "log-group:/aws/sagemaker/TrainingJobs*"),
        ),
        allow(
            ["cloudwatch:PutMetricData"],
            "*",
            StringLike={"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*"]},
        ),
    )


def jobs(*kinds: str) -> list[parts.Text]:
    """Return the ARNs of jobs of kinds."""
    return [arn("sagemaker", f"training-job/{each}-*") for each in kinds]


def machine_role(job: iam.Role, *functions: awslambda.Function) -> iam.Role:
    """Let the state machine run jobs, call its functions and tell who listens."""
    ended = arn("events", "rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule")
    return parts.role(
        "MachineRole",
        "states.amazonaws.com",
        allow(
            [
                *("sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob"),
                *("sagemaker:StopTrainingJob", "sagemaker:AddTags", "sagemaker:ListTags"),
            ],
            *jobs(*KINDS),
        ),
        allow(["events:PutTargets", "events:PutRule", "events:DescribeRule"], ended),
        pass_role("sagemaker.amazonaws.com", GetAtt(job, "Arn")),
        allow(["lambda:InvokeFunction"], *(GetAtt(each, "Arn") for each in functions)),
        allow(["sns:Publish"], Ref(SUCCESS_TOPIC), Ref(ERROR_TOPIC)),
    )


def state_machine(
    role: iam.Role, job: iam.Role, steps: dict[str, awslambda.Function]
) -> stepfunctions.StateMachine:
    """See work through."""
    values = {
        "JobRoleArn": GetAtt(job, "Arn"),
        **{f"{name}Arn": GetAtt(each, "Arn") for name, each in steps.items()},
    }
    return stepfunctions.StateMachine(
        "Machine",
        StateMachineName=Sub(MACHINE),
        RoleArn=GetAtt(role, "Arn"),
        DefinitionString=Sub(work_flow.definition(), **values),
    )


def running(*kinds: str) -> list[Statement]:
    """Allow to begin work, to look at it, and to stop that of some kinds."""
    return [allow(["states:StartExecution"], arn("states", MACHINE_ARN)), *stopping(*kinds)]


def stopping(*kinds: str) -> list[Statement]:
    """Allow to look at work, and to stop that of some kinds."""
    return [
        allow(
            ["states:DescribeExecution", "states:StopExecution"],
            arn("states", f"execution:{MACHINE}:*"),
        ),
        allow(["sagemaker:StopTrainingJob"], *jobs(*kinds)),
    ]


def add_reconciler(t: Template) -> None:
    """Look now and then after work whose execution has ended without saying so, or whose end was cut."""
    function = middle.function(
        t,
        "WorkReconciler",
        module="work_reconciler",
        settings=parts.environment(
            WorkSettings,
            work_table=Ref(middle.WORK),
            datasets_table=Ref(middle.DATASETS),
            checkpoints_table=Ref(middle.CHECKPOINTS),
            bucket=Ref(middle.BUCKET),
            work_machine_arn=arn("states", MACHINE_ARN),
            work_instance_type=Ref(middle.WORK_INSTANCE),
        ),
        may=[*keeping(), *stopping(*KINDS)],
        why="Brings work to an end whose state machine has ended without saying so",
        timeout=WATCH_SECONDS,
    )
    middle.add_rule(t, "WorkClock", function, Description="Now and then", ScheduleExpression=EVERY)
