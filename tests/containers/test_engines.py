"""Both container engines do the same for SageMaker: whoever uses it cannot tell them apart."""

import json
import os
import re
import signal
import uuid

import pytest
from botocore.exceptions import ClientError
from engine_world import DIE, DIES_WHEN_TOLD, PULL, WORK, EngineWorld, allow, is_crash

from atelier.cloud.gateway import launch
from atelier.templates.training_files import may_enter_vpc

ENGINES = ["process", pytest.param("docker", marks=pytest.mark.docker)]

SAVES_WHEN_STOPPED = """
def save(*_):
    (base / "checkpoints" / "step").write_text(str(step))
    sys.exit(0)
saved = base / "checkpoints" / "step"
step = int(saved.read_text()) + 1 if saved.exists() else 0
print("step", step, flush=True)
if step == 0:
    signal.signal(signal.SIGTERM, save)
    time.sleep(60)
(base / "model" / "step").write_text(str(step))
"""


@pytest.fixture(scope="module", params=ENGINES)
def world(request):
    world = EngineWorld(request.param)
    yield world
    world.close()


@pytest.fixture(scope="module")
def image(world):
    return world.image()


@pytest.fixture(autouse=True)
def clear(world):
    yield
    world.clear()


def test_a_job_trains_and_its_model_log_and_metric_are_there(world, image):
    name = world.train(image, "print('x' * 100_000)")

    job = world.trained(name)

    assert "Completed" == job["TrainingJobStatus"], job.get("FailureReason")
    assert {"name": b"v1"} == world.model(name)
    assert 1.5 == job["FinalMetricDataList"][0]["Value"]
    lines = world.until(lambda: world.log("/aws/sagemaker/TrainingJobs"), lambda seen: len(seen) >= 3)
    assert ["loss=1.5", "x" * 65_536, "x" * 34_464] == lines


def test_a_container_sees_its_data_and_its_job(world, image):
    world.client("s3").put_object(Bucket="data", Key="texts/one", Body=b"once")
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://data/texts/"}
    program = """
import json
shown = json.loads((base / "input" / "config" / "hyperparameters.json").read_text())
(base / "model" / "shown").write_text(shown["steps"] + (base / "input/data/train/one").read_text())
"""

    name = world.train(
        image,
        program,
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        HyperParameters={"steps": "7"},
    )

    assert "Completed" == world.trained(name)["TrainingJobStatus"]
    assert b"7once" == world.model(name)["shown"]


@pytest.fixture(scope="module")
def storage(world):
    """The shared file system, deployed from its templates for jobs to train on; and a role that may enter."""
    network = world.deploy("network")
    where = {"VpcId": network["VpcId"], "PrivateSubnetIds": network["PrivateSubnetIds"]}
    made = world.deploy("shared-storage", TrainingMounts="true", **where)
    role = world.make_role(*WORK, *training_flow_statements())
    return {**network, **made, "role": role}


def training_flow_statements():
    """What the training flow allows to jobs in a VPC; the parts of ARNs that the stack fills in are open."""
    filled = [re.sub(r"\$\{[^}]+\}", "*", json.dumps(each, default=text)) for each in may_enter_vpc()]
    return [json.loads(each) for each in filled]


def text(value):
    """A substitution's text."""
    return value.to_dict()["Fn::Sub"]


def shared(storage, mode):
    """A job's request, in the VPC with the file system as its channel."""
    source = {
        "FileSystemId": storage["FileSystemId"],
        "FileSystemType": "EFS",
        "FileSystemAccessMode": mode,
        "DirectoryPath": "/",
    }
    return {
        "InputDataConfig": [{"ChannelName": "shared", "DataSource": {"FileSystemDataSource": source}}],
        "VpcConfig": {
            "Subnets": storage["PrivateSubnetIds"].split(","),
            "SecurityGroupIds": storage["TrainingGroupIds"].split(","),
        },
        "RoleArn": storage["role"],
    }


def test_what_a_job_leaves_in_a_shared_directory_the_next_one_finds(world, image, storage):
    leave = "(base / 'input/data/shared/note').write_text('kept')"
    find = "(base / 'model' / 'found').write_text((base / 'input/data/shared/note').read_text())"

    left = world.trained(world.train(image, leave, **shared(storage, "rw")))
    finder = world.train(image, find, **shared(storage, "ro"))

    assert "Completed" == left["TrainingJobStatus"], left.get("FailureReason")
    found = world.trained(finder)
    assert "Completed" == found["TrainingJobStatus"], found.get("FailureReason")
    assert b"kept" == world.model(finder)["found"]


def test_a_job_cannot_write_to_a_directory_that_it_may_only_read(world, image, storage):
    name = world.train(image, "(base / 'input/data/shared/note2').write_text('x')", **shared(storage, "ro"))

    job = world.trained(name)
    assert "Failed" == job["TrainingJobStatus"]
    assert "Read-only file system" in job["FailureReason"]


def run_task(world, image, storage, statements, *, reads=True, by_role=True):
    """Run a task that lists the shared files; return why it stopped, and how."""
    ecs, name = world.client("ecs"), f"t{uuid.uuid4().hex[:8]}"
    way = {"accessPointId": storage["AccessPointId"], "iam": "ENABLED" if by_role else "DISABLED"}
    files = {"fileSystemId": storage["FileSystemId"], "transitEncryption": "ENABLED"}
    place = {"sourceVolume": "files", "containerPath": "/mnt/files", "readOnly": reads}
    listing = "import os; print(os.listdir(os.environ['FILES']))"
    ecs.create_cluster(clusterName="tasks")
    definition = ecs.register_task_definition(
        family=name,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        taskRoleArn=world.make_role(*statements, service="ecs-tasks.amazonaws.com"),
        executionRoleArn=world.make_role(allow(*PULL), service="ecs-tasks.amazonaws.com"),
        volumes=[{"name": "files", "efsVolumeConfiguration": {**files, "authorizationConfig": way}}],
        containerDefinitions=[
            {
                **{"name": "main", "image": image, "entryPoint": ["python", "-c"], "command": [listing]},
                "environment": [{"name": "FILES", "value": "/mnt/files"}],
                "mountPoints": [place],
            }
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    network = {
        "subnets": storage["PrivateSubnetIds"].split(","),
        "securityGroups": [storage["FileSystemClientGroupId"]],
    }
    (started,) = ecs.run_task(
        cluster="tasks",
        taskDefinition=definition,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
    )["tasks"]
    (ended,) = world.until(
        lambda: ecs.describe_tasks(cluster="tasks", tasks=[started["taskArn"]])["tasks"],
        lambda tasks: tasks[0]["lastStatus"] == "STOPPED",
    )
    return ended.get("stoppedReason", ""), ended["containers"][0].get("exitCode")


def test_a_task_comes_in_by_a_role_that_may_and_the_access_point_alone(world, image, storage):
    through = {"StringEquals": {"elasticfilesystem:AccessPointArn": storage["AccessPointArn"]}}
    reading = {
        **{"Effect": "Allow", "Action": ["elasticfilesystem:ClientMount"]},
        **{"Resource": [storage["FileSystemArn"]], "Condition": through},
    }
    other = {"StringEquals": {"elasticfilesystem:AccessPointArn": f"{storage['AccessPointArn']}0"}}

    assert ("Essential container in task exited", 0) == run_task(world, image, storage, [reading])
    for refused in (
        run_task(world, image, storage, [allow("s3:GetObject")]),
        run_task(world, image, storage, [{**reading, "Condition": other}]),
        run_task(world, image, storage, [reading], reads=False),
    ):
        assert "access denied" in refused[0]
        assert refused[1] is None


def test_a_container_calls_the_cloud_as_its_role(world, image):
    program = """
import urllib.request, urllib.error
assert os.environ["AWS_ACCESS_KEY_ID"] and os.environ["AWS_SESSION_TOKEN"]
try:
    urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"])
except urllib.error.HTTPError as answer:
    print("answered", answer.code, flush=True)
"""

    assert "Completed" == world.trained(world.train(image, program))["TrainingJobStatus"]


def test_a_job_fails_with_the_reason_that_its_container_left(world, image):
    program = "(base / 'output' / 'failure').write_text('the text is binary'); sys.exit(3)"

    job = world.trained(world.train(image, program))

    assert ("Failed", "AlgorithmError: the text is binary, exit code: 3") == (
        job["TrainingJobStatus"],
        job["FailureReason"],
    )


def test_a_job_that_leaves_no_reason_fails_with_the_end_of_its_log(world, image):
    job = world.trained(world.train(image, "print('no such corpus'); sys.exit(1)"))

    assert "AlgorithmError: loss=1.5\nno such corpus, exit code: 1" == job["FailureReason"]


def test_a_command_that_the_image_lacks_is_named(world):
    missing = world.image("missing", command=("no-such-command",))

    job = world.trained(world.train(missing))

    assert "Failed" == job["TrainingJobStatus"]
    assert "no-such-command" in job["FailureReason"]


def test_an_image_that_is_not_there_is_named(world, image):
    repository, _, _ = image.partition("@")

    job = world.trained(world.train(f"{repository}:none"))

    assert f"ClientError: cannot pull {repository}:none" in job["FailureReason"]


def test_a_role_that_may_not_pull_fails_the_job_with_what_it_lacks(world, image):
    role = world.make_role(allow("s3:*", "logs:*"))

    job = world.trained(world.train(image, RoleArn=role))

    assert "not authorized to perform: ecr:BatchGetImage" in job["FailureReason"]


def test_a_stopped_job_saves_and_the_next_one_resumes(world, image):
    checkpoints = {"CheckpointConfig": {"S3Uri": f"s3://data/{world.engine}/checkpoints"}}
    first = world.train(image, SAVES_WHEN_STOPPED, **checkpoints)
    world.until(lambda: world.log("/aws/sagemaker/TrainingJobs"), lambda seen: "step 0" in seen)

    world.client("sagemaker").stop_training_job(TrainingJobName=first)

    assert "Stopped" == world.trained(first)["TrainingJobStatus"]
    assert b"0" == world.get(f"{world.engine}/checkpoints/step")
    second = world.train(image, SAVES_WHEN_STOPPED, **checkpoints)
    assert "Completed" == world.trained(second)["TrainingJobStatus"]
    assert b"1" == world.model(second)["step"]


def test_a_job_that_ignores_sigterm_is_killed(world, image):
    name = world.train(
        image, "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    world.until(lambda: world.log("/aws/sagemaker/TrainingJobs"), lambda seen: "deaf" in seen)

    world.client("sagemaker").stop_training_job(TrainingJobName=name)

    assert "Stopped" == world.trained(name)["TrainingJobStatus"]


def test_an_endpoint_serves_its_model(world, image):
    name = world.serve(world.config(image, model={"name": "weights"}))

    assert "InService" == world.settled(name)["EndpointStatus"]
    assert b"v1weights:hello" == world.ask(name)


def test_an_update_moves_to_the_new_version_and_a_broken_one_changes_nothing(world, image):
    sagemaker, name = world.client("sagemaker"), world.serve(world.config(image))
    world.settled(name)

    config = world.config(image, Environment={"VERSION": "v2"})
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    assert "InService" == world.settled(name)["EndpointStatus"]
    assert b"v2:hello" == world.ask(name)

    broken = world.config(image, "sys.exit('no weights')")
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    settled = world.settled(name)
    assert ("InService", config) == (settled["EndpointStatus"], settled["EndpointConfigName"])
    assert "exited with code 1 before it answered /ping" in settled["FailureReason"]
    assert "no weights" in settled["FailureReason"]
    assert b"v2:hello" == world.ask(name)


def test_a_crashed_container_is_started_again(world, image):
    name = world.serve(world.config(image, DIES_WHEN_TOLD))
    assert "InService" == world.settled(name)["EndpointStatus"]

    world.crash(name)

    assert b"v1:hello" == world.answered(name)


def test_an_asynchronous_endpoint_answers_into_s3(world, image):
    output = {"OutputConfig": {"S3OutputPath": "s3://data/answers"}}
    name = world.serve(world.config(image, AsyncInferenceConfig=output))
    world.settled(name)
    world.client("s3").put_object(Bucket="data", Key="question", Body=b"hello")

    sent = world.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=name, InputLocation="s3://data/question"
    )

    assert b"v1:hello" == answer(world, sent)


def test_an_asynchronous_request_whose_container_dies_is_asked_again(world, image):
    output = {"OutputConfig": {"S3OutputPath": "s3://data/answers"}}
    name = world.serve(world.config(image, DIES_WHEN_TOLD, AsyncInferenceConfig=output))
    world.settled(name)
    s3, group = world.client("s3"), f"/aws/sagemaker/Endpoints/{name}"
    s3.put_object(Bucket="data", Key="question", Body=DIE)

    sent = world.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=name, InputLocation="s3://data/question"
    )
    world.until(lambda: world.log(group), lambda seen: any(map(is_crash, seen)))
    s3.put_object(Bucket="data", Key="question", Body=b"hello")  # each attempt reads it anew

    assert b"v1:hello" == answer(world, sent)


def answer(world, sent):
    key = sent["OutputLocation"].removeprefix("s3://data/")

    def look():
        try:
            return world.get(key)
        except ClientError:
            return None

    return world.until(look, lambda body: body is not None)


def test_a_deleted_image_serves_on_where_it_serves_and_starts_nothing_new(world):
    doomed = world.image("doomed")
    name = world.serve(world.config(doomed))
    world.settled(name)
    _, _, digest = doomed.partition("@")
    world.client("ecr").batch_delete_image(repositoryName="doomed", imageIds=[{"imageDigest": digest}])

    assert b"v1:hello" == world.ask(name)
    another = world.settled(world.serve(world.config(doomed)))
    assert "Failed" == another["EndpointStatus"]
    assert f"the repository doomed has no image {digest}" in another["FailureReason"]


def test_endpoints_come_back_after_a_stop_and_after_a_kill(world, image):
    name = world.serve(world.config(image))
    world.settled(name)

    launch.stop(world.home)
    world.up()
    assert "InService" == world.settled(name)["EndpointStatus"]
    assert b"v1:hello" == world.ask(name)

    os.kill(json.loads((world.home / "cloud.json").read_text())["pid"], signal.SIGKILL)
    world.until(lambda: launch.status(world.home).running, lambda running: not running)
    world.up()
    assert "InService" == world.settled(name)["EndpointStatus"]
    assert b"v1:hello" == world.ask(name)
