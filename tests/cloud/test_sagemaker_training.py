"""Training jobs: data in, a container as SageMaker runs it, a model out, and a reason for every failure."""

import io
import json
import tarfile
import time

import pytest
from botocore.exceptions import ClientError
from sagemaker_world import World

from atelier.cloud.context import Fault, Refused
from atelier.cloud.services.sagemaker.plugin import PLUGIN
from atelier.cloud.services.wire import ServiceError

SETTINGS = '{"training_grace": 1, "sync_interval": 0.1, "shutdown_grace": 0.5}'

TRAIN = """
import json, os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
assert sys.argv[1:] == ["train"], sys.argv
parameters = json.loads((base / "input/config/hyperparameters.json").read_text())
text = "".join(path.read_text() for path in sorted((base / "input/data/train").rglob("*.txt")))
for step in range(int(parameters["steps"])):
    print(f"step={step} loss={10 / (step + 1):.3f}")
(base / "model" / "weights").write_text(text.upper())
(base / "output" / "data" / "report").write_text("fine")
"""

SLEEP = """
import os, pathlib, signal, sys, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
def end(*_):
    (base / "model" / "partial").write_text("partial")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready")
time.sleep(60)
"""


@pytest.fixture
def world(tmp_path, cloud):
    world = World(tmp_path, cloud, settings=SETTINGS)
    yield world
    world.close()


def archive(body):
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}


def statuses(job):
    return [each["Status"] for each in job["SecondaryStatusTransitions"]]


def begin(world, name, **request):
    """Start a job that sleeps, and wait until its container says that it is ready."""
    image = world.image("sleep", SLEEP)
    world.call("CreateTrainingJob", **world.job(name, image, **request))
    running = world.until(lambda: world.engine.started, lambda started: started)[-1]
    world.until(lambda: describe(world, name), lambda job: job["SecondaryStatus"] == "Training")
    time.sleep(0.3)
    return running


def describe(world, name):
    return world.call("DescribeTrainingJob", TrainingJobName=name)


def test_a_job_turns_data_into_a_model(world):
    world.put("data/a/one.txt", b"one ")
    world.put("data/b.txt", b"two")

    job = world.train(
        "first",
        world.image("train", TRAIN),
        HyperParameters={"steps": "2"},
        InputDataConfig=[world.channel("train", f"s3://{world.bucket}/data/")],
    )

    assert "Completed" == job["TrainingJobStatus"], job
    assert ["Starting", "Downloading", "Training", "Uploading", "Completed"] == statuses(job)
    model = f"s3://{world.bucket}/out/first/output/model.tar.gz"
    assert model == job["ModelArtifacts"]["S3ModelArtifacts"]
    assert {"weights": b"ONE TWO"} == archive(world.get(model))
    assert {"report": b"fine"} == archive(world.get(model.replace("model.tar", "output.tar")))
    assert [] == list((world.home / "sagemaker" / "training").iterdir())


def test_a_container_acts_as_its_role_with_the_variables_of_its_job(world):
    script = """
    import json, os, pathlib
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    seen = {name: os.environ.get(name) for name in ("COLOUR", "TRAINING_JOB_NAME", "AWS_ACCESS_KEY_ID")}
    seen["config"] = sorted(each.name for each in (base / "input/config").iterdir())
    seen["resources"] = json.loads((base / "input/config/resourceconfig.json").read_text())["current_host"]
    (base / "model/seen.json").write_text(json.dumps(seen))
    """

    job = world.train("env", world.image("env", script), Environment={"COLOUR": "red"})

    seen = json.loads(archive(world.get(job["ModelArtifacts"]["S3ModelArtifacts"]))["seen.json"])
    assert {
        "COLOUR": "red",
        "TRAINING_JOB_NAME": "env",
        "AWS_ACCESS_KEY_ID": world.cloud.identity.key[0],
        "config": ["hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"],
        "resources": "algo-1",
    } == seen


def test_metrics_are_the_last_values_in_the_log(world):
    algorithm = {
        "TrainingImage": world.image("train", TRAIN),
        "TrainingInputMode": "File",
        "MetricDefinitions": [
            {"Name": "train:loss", "Regex": "loss=([0-9.]+)"},
            {"Name": "never", "Regex": "never=([0-9.]+)"},
        ],
    }
    world.put("data/x.txt", b"x")

    job = world.train(
        "metrics",
        "",
        AlgorithmSpecification=algorithm,
        HyperParameters={"steps": "4"},
        InputDataConfig=[world.channel("train", f"s3://{world.bucket}/data/x.txt")],
    )

    values = [(each["MetricName"], each["Value"]) for each in job["FinalMetricDataList"]]
    assert [("train:loss", 2.5)] == values


def test_metrics_of_a_running_job_are_its_latest(world):
    script = "import time\nprint('loss=7.5', flush=True)\ntime.sleep(60)"
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    image = world.image("slow", script)
    algorithm = {"TrainingImage": image, "TrainingInputMode": "File", "MetricDefinitions": definitions}

    world.call("CreateTrainingJob", **world.job("live", image, AlgorithmSpecification=algorithm))

    job = world.until(lambda: describe(world, "live"), lambda job: job.get("FinalMetricDataList"))
    assert "InProgress" == job["TrainingJobStatus"]
    assert 7.5 == job["FinalMetricDataList"][0]["Value"]


def test_the_log_is_in_cloudwatch(world):
    job = world.train("logged", world.image("log", "print('hello from the container')"))

    logs, group = world.running.client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="logged/algo-1-")
    name = streams["logStreams"][0]["logStreamName"]
    events = logs.get_log_events(logGroupName=group, logStreamName=name)["events"]
    assert "Completed" == job["TrainingJobStatus"], job
    assert ["hello from the container"] == [each["message"] for each in events]


def test_a_failure_has_the_reason_that_the_container_left(world):
    script = """
    import os, pathlib, sys
    (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/failure").write_text("the data is binary")
    sys.exit(3)
    """

    job = world.train("reason", world.image("failing", script))

    assert "Failed" == job["TrainingJobStatus"]
    assert "AlgorithmError: the data is binary, exit code: 3" == job["FailureReason"]
    assert "ModelArtifacts" not in job


def test_a_failure_without_a_reason_shows_the_end_of_the_log(world):
    job = world.train("silent", world.image("broken", "print('before')\nraise RuntimeError('no luck')"))

    assert "RuntimeError: no luck, exit code: 1" in job["FailureReason"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("OutOfMemory: too much"), "AlgorithmError: OutOfMemory: too much, exit code: 3"),
        (Fault("the engine was stopped", is_platform=True), "InternalServerError: the engine was stopped"),
    ],
)
def test_a_failure_that_the_engine_can_explain_is_explained_so(world, fault, reason):
    world.engine.fault = fault

    job = world.train("explained", world.image("a", "import sys; sys.exit(3)"))

    assert reason == job["FailureReason"]


def test_an_isolated_job_gets_no_credentials(world):
    world.engine.isolates = True

    world.train("alone", world.image("a", ""), EnableNetworkIsolation=True)

    (container,) = world.engine.containers
    assert container.is_isolated
    assert not [name for name in container.environment if name.startswith("AWS_")]


def test_a_long_reason_keeps_its_exit_code(world):
    script = """
    import os, pathlib, sys
    (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/failure").write_text("x" * 5000)
    sys.exit(9)
    """

    job = world.train("long", world.image("long", script))

    assert 1024 == len(job["FailureReason"])
    assert job["FailureReason"].endswith(", exit code: 9")


def test_a_prefix_without_objects_fails_the_job(world):
    channel = world.channel("train", f"s3://{world.bucket}/nothing")

    job = world.train("empty", world.image("train", TRAIN), InputDataConfig=[channel])

    assert "Failed" == job["TrainingJobStatus"]
    assert "No S3 objects found under S3 URL" in job["FailureReason"]
    assert [] == world.engine.started


def test_an_image_that_is_not_there_fails_the_job(world):
    job = world.train("imageless", "000000000000.dkr.ecr.us-east-1.amazonaws.com/nothing:7")

    assert "ClientError: cannot pull" in job["FailureReason"]
    assert "has no image 7" in job["FailureReason"]


def test_a_role_that_cannot_be_assumed_is_refused(world):
    request = world.job("roleless", world.image("train", TRAIN))

    with pytest.raises(ServiceError, match="Could not assume role"):
        world.call("CreateTrainingJob", **{**request, "RoleArn": "arn:aws:iam::000000000000:role/missing"})


def test_a_stopped_job_keeps_what_it_has_made(world):
    begin(world, "stopped")

    world.call("StopTrainingJob", TrainingJobName="stopped")

    job = world.ended("stopped")
    assert ("Stopped", "Stopped") == (job["TrainingJobStatus"], job["SecondaryStatus"])
    assert {"partial": b"partial"} == archive(world.get(job["ModelArtifacts"]["S3ModelArtifacts"]))


def test_a_container_that_ignores_sigterm_is_killed_after_the_grace(world):
    script = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(1)\ntime.sleep(60)"
    world.call("CreateTrainingJob", **world.job("deaf", world.image("deaf", script)))
    world.until(lambda: world.engine.started, bool)
    time.sleep(0.3)

    world.call("StopTrainingJob", TrainingJobName="deaf")

    assert "Stopped" == world.ended("deaf")["TrainingJobStatus"]
    assert 137 == world.engine.started[0].wait(0)


def test_a_job_past_its_time_is_stopped(world):
    begin(world, "overdue", StoppingCondition={"MaxRuntimeInSeconds": 1})

    job = world.ended("overdue")

    assert ("Stopped", "MaxRuntimeExceeded") == (job["TrainingJobStatus"], job["SecondaryStatus"])
    assert {"partial": b"partial"} == archive(world.get(job["ModelArtifacts"]["S3ModelArtifacts"]))


def test_a_job_that_is_stopped_while_it_downloads_never_runs(tmp_path, cloud):
    class SlowS3:
        """Lets each download wait until the job was stopped."""

        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def close(self):
            pass

        def download_file(self, bucket, key, path, Callback, Config):
            for _ in range(200):
                time.sleep(0.02)
                Callback(1)

    world = World(tmp_path, cloud, settings=SETTINGS, s3=SlowS3(cloud.client("s3")))
    world.put("data/x.txt", b"x")
    channel = world.channel("train", f"s3://{world.bucket}/data")
    image = world.image("train", TRAIN)
    world.call("CreateTrainingJob", **world.job("slow", image, InputDataConfig=[channel]))
    world.until(lambda: describe(world, "slow"), lambda job: job["SecondaryStatus"] == "Downloading")

    world.call("StopTrainingJob", TrainingJobName="slow")

    assert "Stopped" == world.ended("slow")["TrainingJobStatus"]
    assert [] == world.engine.started
    world.close()


def test_a_real_transfer_ends_when_its_job_is_stopped(world):
    from atelier.cloud.services.sagemaker.run import Cancelled
    from atelier.cloud.services.sagemaker.storage import download

    uri = world.put("big", bytes(1 << 20))

    def check():
        raise Cancelled

    with pytest.raises(Cancelled):
        download(world.s3, uri, world.home / "big", check=check)


def test_checkpoints_go_to_s3_while_the_job_runs_and_come_back(world, tmp_path):
    seen = tmp_path / "seen"
    script = f"""
    import os, pathlib, time
    seen = pathlib.Path({str(seen)!r})
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "checkpoints"
    found = sorted(path.name for path in base.iterdir())
    print("found", found)
    (base / ("step-" + str(len(found)))).write_text(str(found))
    while not seen.exists():
        time.sleep(0.05)
    """
    image = world.image("checkpoints", script)
    checkpoints = {"S3Uri": f"s3://{world.bucket}/checkpoints"}

    world.call("CreateTrainingJob", **world.job("save", image, CheckpointConfig=checkpoints))
    world.until(lambda: world.keys("checkpoints/"), lambda keys: keys == {"checkpoints/step-0"})

    assert "InProgress" == describe(world, "save")["TrainingJobStatus"]
    seen.touch()
    assert "Completed" == world.ended("save")["TrainingJobStatus"]
    assert "Completed" == world.train("resume", image, CheckpointConfig=checkpoints)["TrainingJobStatus"]
    assert b"['step-0']" == world.get(f"s3://{world.bucket}/checkpoints/step-1")


def test_two_jobs_of_one_name_are_refused(world):
    image = world.image("log", "print(1)")
    world.train("twice", image)

    with pytest.raises(ServiceError, match="must be unique") as caught:
        world.call("CreateTrainingJob", **world.job("twice", image))
    assert "ResourceInUse" == caught.value.code


def test_a_job_that_has_ended_cannot_be_stopped(world):
    world.train("over", world.image("log", "print(1)"))

    with pytest.raises(ServiceError, match="in status Completed"):
        world.call("StopTrainingJob", TrainingJobName="over")


def channel(name):
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/key"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def algorithm(regex):
    definitions = [{"Name": "loss", "Regex": regex}]
    return {"TrainingImage": "host/x:1", "TrainingInputMode": "File", "MetricDefinitions": definitions}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"TrainingJobName": "under_score"}, "does not match"),
        ({"TrainingJobName": "a" * 64}, "at most 63"),
        ({"HyperParameters": {"steps": 7}}, "Invalid type"),
        ({"HyperParameters": {"steps": "x" * 2501}}, "at most 2500"),
        (
            {"ResourceConfig": {"InstanceType": "ml.m5.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}},
            "one of",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 9}}, "not supported when"),
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
        ({"InputDataConfig": [channel(".."), channel("a")]}, "cannot be named after"),
        ({"InputDataConfig": [channel("a"), channel("a")]}, "must be unique"),
        ({"AlgorithmSpecification": algorithm("(")}, "is invalid"),
        ({"AlgorithmSpecification": algorithm("loss")}, "has no capture group"),
    ],
)
def test_an_invalid_request_is_refused(world, change, problem):
    request = {**world.job("bad", world.image("log", "")), **change}

    with pytest.raises(ServiceError, match=problem):
        world.call("CreateTrainingJob", **request)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"RetryStrategy": {"MaximumRetryAttempts": 2}}, "CreateTrainingJob.RetryStrategy"),
        ({"EnableNetworkIsolation": True}, "CreateTrainingJob.EnableNetworkIsolation"),
        (
            {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}},
            "ResourceConfig.InstanceCount=2",
        ),
        ({"OutputDataConfig": {"S3OutputPath": "s3://b/o", "KmsKeyId": "k"}}, "OutputDataConfig.KmsKeyId"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/tmp/x"}}, "LocalPath=/tmp/x"),
    ],
)
def test_what_the_local_cloud_lacks_is_refused_by_name(world, change, named):
    request = {**world.job("lacking", world.image("log", "")), **change}

    with pytest.raises(Refused, match=named):
        world.call("CreateTrainingJob", **request)


def test_a_manifest_as_data_is_refused_by_name(world):
    channel = world.channel("train", "s3://b/k")
    channel["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"

    with pytest.raises(Refused, match="S3DataType=ManifestFile"):
        world.call("CreateTrainingJob", **world.job("m", world.image("log", ""), InputDataConfig=[channel]))


def test_a_caller_that_may_not_pass_the_role_is_refused(world):
    world.cloud.identity.denied.add("iam:PassRole")

    with pytest.raises(ServiceError, match="iam:PassRole on resource"):
        world.call("CreateTrainingJob", **world.job("passing", world.image("log", "")))


def test_a_spot_job_reports_its_seconds(world):
    stopping = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120}

    job = world.train(
        "spot", world.image("log", "print(1)"), EnableManagedSpotTraining=True, StoppingCondition=stopping
    )

    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] == 1


def test_every_step_is_an_event(world):
    job = world.train("events", world.image("log", "print(1)"))

    events = world.cloud.events.published
    assert statuses(job) == [each["detail"]["SecondaryStatus"] for each in events]
    assert {"SageMaker Training Job State Change"} == {each["detail-type"] for each in events}
    assert "Completed" == events[-1]["detail"]["TrainingJobStatus"]
    assert isinstance(events[-1]["detail"]["CreationTime"], int)


def test_jobs_are_listed_newest_first_in_pages(world):
    for name in ("list-a", "list-b", "list-c"):
        world.train(name, world.image("log", "print(1)"))

    first = world.call("ListTrainingJobs", NameContains="list", MaxResults=2, StatusEquals="Completed")
    second = world.call("ListTrainingJobs", NameContains="list", MaxResults=2, NextToken=first["NextToken"])

    names = [each["TrainingJobName"] for page in (first, second) for each in page["TrainingJobSummaries"]]
    assert ["list-c", "list-b", "list-a"] == names
    assert "NextToken" not in second


def test_a_job_is_failed_after_its_cloud_was_stopped(world):
    begin(world, "interrupted")

    PLUGIN.service.stop(world.cloud)

    job = describe(world, "interrupted")
    assert "Failed" == job["TrainingJobStatus"]
    assert "the local cloud was stopped" in job["FailureReason"]


def test_a_job_is_failed_after_its_cloud_was_killed(world):
    record = {**world.job("killed", "x"), "TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}
    record |= {"SecondaryStatusTransitions": [], "TrainingJobArn": "arn"}
    world.cloud.store.table("sagemaker.training-jobs").put("killed", record)

    PLUGIN.service.start(world.cloud)

    job = describe(world, "killed")
    assert "Failed" == job["TrainingJobStatus"]
    assert "the local cloud was stopped" in job["FailureReason"]


def test_data_that_leads_out_of_its_channel_is_refused(world):
    world.put("data/../../escape.txt", b"x")
    channel = world.channel("train", f"s3://{world.bucket}/data")

    job = world.train("escape", world.image("train", TRAIN), InputDataConfig=[channel])

    assert "leads out of its folder" in job["FailureReason"]


def test_throttled_storage_is_a_reason(tmp_path, cloud):
    class Throttled:
        """Refuses every listing, as S3 does under load."""

        def get_paginator(self, name):
            return self

        def paginate(self, **_):
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "Please reduce your rate"}}, "List")

        def close(self):
            pass

    world = World(tmp_path, cloud, settings=SETTINGS, s3=Throttled())
    channel = world.channel("train", f"s3://{world.bucket}/data")

    job = world.train("throttled", world.image("train", TRAIN), InputDataConfig=[channel])

    assert "SlowDown: Please reduce your rate" in job["FailureReason"]
    world.close()


def test_tags_are_kept_and_listed(world):
    tags = [{"Key": "commit", "Value": "abc"}]
    job = world.train("tagged", world.image("log", "print(1)"), Tags=tags)

    assert tags == world.call("ListTags", ResourceArn=job["TrainingJobArn"])["Tags"]


def test_hyperparameters_are_data_in_events(world):
    world.train("data", world.image("log", "print(1)"), HyperParameters={"maxTime": "5"})

    assert {"maxTime": "5"} == world.cloud.events.published[-1]["detail"]["HyperParameters"]


@pytest.mark.parametrize(("text", "problem"), [('{"colour": 1}', "sets colour"), ("{", "is not JSON")])
def test_settings_that_are_wrong_are_said_at_start(tmp_path, cloud, text, problem):
    world = World(tmp_path, cloud, settings=text)

    with pytest.raises(Refused, match=problem):
        PLUGIN.service.start(world.cloud)
    world.close()
