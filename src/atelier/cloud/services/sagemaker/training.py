"""Training jobs: the API."""

from __future__ import annotations

from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.roles import pass_role
from atelier.cloud.services.sagemaker import capacity, live, metrics, network
from atelier.cloud.services.sagemaker.access import check
from atelier.cloud.services.sagemaker.listing import page, summary
from atelier.cloud.services.sagemaker.run import Run
from atelier.cloud.services.sagemaker.service import (
    PRINCIPAL,
    SERVICE,
    arn,
    exactly,
    invalid,
    jobs,
    now,
    on,
    on_all,
    only,
)
from atelier.cloud.services.sagemaker.storage import location
from atelier.cloud.services.sagemaker.tags import tag
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

DAY = 86_400
KIND = "training-job"
ON = on(KIND, "TrainingJobName")
SUMMARY = (
    "TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime",
    "TrainingJobStatus", "SecondaryStatus",
)  # fmt: skip


@SERVICE.operation("CreateTrainingJob", on=ON)
def create(cloud: Cloud, request: Document) -> Document:
    """Accept a training job and start it in the background."""
    _check(request)
    capacity.check_isolation(cloud, "CreateTrainingJob", request)
    pass_role(cloud, request["RoleArn"], PRINCIPAL)
    name = request["TrainingJobName"]
    check(cloud, request["RoleArn"], name)
    network.check(cloud, request)
    record = _record(cloud, request)
    with jobs(cloud).lock:
        if name in jobs(cloud):
            message = (
                "Training job names must be unique within an AWS account and region, and a training job with"
                f" this name already exists ({record['TrainingJobArn']})"
            )
            raise ServiceError("ResourceInUse", message)
        jobs(cloud).put(name, record)
    tag(cloud, record["TrainingJobArn"], request.get("Tags", []))
    state = live.of(cloud)
    state.add(Run(cloud, state.settings, record))
    return {"TrainingJobArn": record["TrainingJobArn"]}


@SERVICE.operation("DescribeTrainingJob", on=ON)
def describe(cloud: Cloud, request: Document) -> Document:
    """Return the job; the metrics of a running one are the latest of its log, and it has no model yet."""
    record = find(cloud, request["TrainingJobName"])
    if not record.get("ModelArtifacts"):
        record.pop("ModelArtifacts", None)  # SDKs hold it to its one member, which is required
    run = live.of(cloud).runs.get(request["TrainingJobName"])
    if run is not None and not run.ended.is_set():
        record["FinalMetricDataList"] = run.metrics.latest()
    return record


@SERVICE.operation("ListTrainingJobs", on=on_all(KIND))
def list_jobs(cloud: Cloud, request: Document) -> Document:
    """List training jobs, newest first."""
    only(
        "ListTrainingJobs",
        {key: request.get(key) for key in ("WarmPoolStatusEquals", "TrainingPlanArnEquals")},
    )
    rows, token = page(jobs(cloud), request, what="TrainingJob", status="TrainingJobStatus")
    return {"TrainingJobSummaries": [summary(row, SUMMARY) for row in rows], "NextToken": token}


@SERVICE.operation("StopTrainingJob", on=ON)
def stop(cloud: Cloud, request: Document) -> None:
    """Ask a job to end: SIGTERM, two minutes, SIGKILL; what it has made is kept."""
    name = request["TrainingJobName"]
    record = find(cloud, name)
    run = live.of(cloud).runs.get(name)
    if record["TrainingJobStatus"] == "Stopping":
        return
    if record["TrainingJobStatus"] != "InProgress" or run is None:
        status = record["TrainingJobStatus"]
        raise invalid(f"The request was rejected because the training job is in status {status}.")
    run.stop()


def find(cloud: Cloud, name: str) -> Record:
    """Return the job's record, or answer as SageMaker does."""
    record = jobs(cloud).get(name)
    if record is None:
        raise invalid("Requested resource not found.")
    return record


def _record(cloud: Cloud, request: Document) -> Record:
    time = now()
    kept = {key: value for key, value in request.items() if key != "Tags"}
    return {
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": False,
        "EnableManagedSpotTraining": False,
        **kept,
        "StoppingCondition": {"MaxRuntimeInSeconds": DAY, **request.get("StoppingCondition", {})},
        "TrainingJobArn": arn(cloud, KIND, request["TrainingJobName"]),
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
        "SecondaryStatusTransitions": [],
        "ModelArtifacts": {},
        "CreationTime": time,
        "LastModifiedTime": time,
    }


def _check(request: Document) -> None:
    only(
        "CreateTrainingJob", request,
        "TrainingJobName", "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig",
        "OutputDataConfig", "ResourceConfig", "StoppingCondition", "Tags", "EnableManagedSpotTraining",
        "CheckpointConfig", "Environment", "ProfilerConfig", "EnableNetworkIsolation",
        "VpcConfig",
    )  # fmt: skip
    only("ProfilerConfig", request.get("ProfilerConfig", {}), "DisableProfiler")
    _check_algorithm(request.get("AlgorithmSpecification", {}))
    _check_resources(request.get("ResourceConfig", {}))
    _check_stopping(request)
    _check_places(request)
    names = [each["ChannelName"] for each in request.get("InputDataConfig", [])]
    if len(names) != len(set(names)):
        raise invalid("InputDataConfig: channel names must be unique")
    if {".", ".."} & set(names):
        raise invalid("InputDataConfig: a channel cannot be named after a folder's parent")
    for channel in request.get("InputDataConfig", []):
        _check_channel(channel)


def _check_algorithm(algorithm: Document) -> None:
    where = "AlgorithmSpecification"
    only(where, algorithm, "TrainingImage", "TrainingInputMode", "MetricDefinitions")
    if not algorithm.get("TrainingImage"):
        raise invalid("AlgorithmSpecification.TrainingImage is required")
    exactly(f"{where}.TrainingInputMode", algorithm["TrainingInputMode"], "File")
    metrics.check(algorithm.get("MetricDefinitions", []))


def _check_resources(resources: Document) -> None:
    only("ResourceConfig", resources, "InstanceType", "InstanceCount", "VolumeSizeInGB")
    for name in ("InstanceType", "InstanceCount", "VolumeSizeInGB"):
        if name not in resources:
            raise invalid(f"ResourceConfig.{name} is required")
    exactly("ResourceConfig.InstanceCount", resources["InstanceCount"], 1)
    capacity.size_of(resources["InstanceType"])


def _check_stopping(request: Document) -> None:
    stopping = request.get("StoppingCondition", {})
    only("StoppingCondition", stopping, "MaxRuntimeInSeconds", "MaxWaitTimeInSeconds")
    wait = stopping.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining"):
        if wait is None or wait < stopping.get("MaxRuntimeInSeconds", DAY):
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to"
                " MaxRuntimeInSeconds"
            )
    elif wait is not None:
        raise invalid("MaxWaitTimeInSeconds above 0 is not supported when EnableManagedSpotTraining is false")


def _check_places(request: Document) -> None:
    output = request["OutputDataConfig"]
    only("OutputDataConfig", output, "S3OutputPath", "CompressionType")
    exactly("OutputDataConfig.CompressionType", output.get("CompressionType"), "GZIP")
    location(output["S3OutputPath"])
    checkpoints: dict[str, Any] = request.get("CheckpointConfig", {})
    if checkpoints:
        location(checkpoints["S3Uri"])
        path = checkpoints.get("LocalPath", "/opt/ml/checkpoints")
        if not path.startswith("/opt/ml/") or ".." in path.split("/"):
            raise Refused(f"Unsupported: CheckpointConfig.LocalPath={path} is outside /opt/ml")


def _check_channel(channel: Document) -> None:
    where = f"InputDataConfig.{channel['ChannelName']}"
    only(where, channel, "ChannelName", "DataSource", "ContentType", "CompressionType", "RecordWrapperType",
         "InputMode")  # fmt: skip
    exactly(f"{where}.CompressionType", channel.get("CompressionType"), "None")
    exactly(f"{where}.RecordWrapperType", channel.get("RecordWrapperType"), "None")
    exactly(f"{where}.InputMode", channel.get("InputMode"), "File")
    only(f"{where}.DataSource", channel["DataSource"], "S3DataSource", "FileSystemDataSource")
    if directory := network.source(channel):
        if channel["DataSource"].get("S3DataSource"):
            raise invalid(f"{where}.DataSource: either S3DataSource or FileSystemDataSource, not both")
        network.check_source(f"{where}.FileSystemDataSource", directory)
        return
    source = channel["DataSource"].get("S3DataSource")
    if not source:
        raise invalid(f"{where}.DataSource.S3DataSource is required")
    only(f"{where}.S3DataSource", source, "S3DataType", "S3Uri", "S3DataDistributionType")
    exactly(f"{where}.S3DataType", source["S3DataType"], "S3Prefix")
    exactly(f"{where}.S3DataDistributionType", source.get("S3DataDistributionType"), "FullyReplicated")
    location(source["S3Uri"])
