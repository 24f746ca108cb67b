"""Models and endpoint configurations: what an endpoint is made of."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.roles import pass_role
from atelier.cloud.services.sagemaker import capacity
from atelier.cloud.services.sagemaker.access import check
from atelier.cloud.services.sagemaker.listing import page, summary
from atelier.cloud.services.sagemaker.service import (
    PRINCIPAL,
    SERVICE,
    arn,
    configs,
    exactly,
    invalid,
    models,
    now,
    on,
    on_all,
    only,
)
from atelier.cloud.services.sagemaker.storage import location
from atelier.cloud.services.sagemaker.tags import tag, untag
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

MODEL = "model"
CONFIG = "endpoint-config"
MODEL_ARCHIVES = (".tar.gz", ".tgz")


@SERVICE.operation("CreateModel", on=on(MODEL, "ModelName"))
def create_model(cloud: Cloud, request: Document) -> Document:
    """Name an image, the data of a model and the role they run with."""
    members = ("ModelName", "PrimaryContainer", "ExecutionRoleArn", "Tags", "EnableNetworkIsolation")
    only("CreateModel", request, *members)
    capacity.check_isolation(cloud, "CreateModel", request)
    for name in ("PrimaryContainer", "ExecutionRoleArn"):
        if name not in request:
            raise invalid(f"CreateModel: {name} is required")
    _check_container(request["PrimaryContainer"])
    pass_role(cloud, request["ExecutionRoleArn"], PRINCIPAL)
    name = request["ModelName"]
    check(cloud, request["ExecutionRoleArn"], name)
    model_arn = arn(cloud, MODEL, name)
    record = {
        "ModelName": name,
        "ModelArn": model_arn,
        "PrimaryContainer": {"Mode": "SingleModel", **request["PrimaryContainer"]},
        "ExecutionRoleArn": request["ExecutionRoleArn"],
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        "CreationTime": now(),
    }
    with models(cloud).lock:
        if name in models(cloud):
            raise invalid(f'Cannot create already existing model "{model_arn}".')
        models(cloud).put(name, record)
    tag(cloud, model_arn, request.get("Tags", []))
    return {"ModelArn": model_arn}


@SERVICE.operation("DescribeModel", on=on(MODEL, "ModelName"))
def describe_model(cloud: Cloud, request: Document) -> Document:
    """Return the model."""
    return find_model(cloud, request["ModelName"])


@SERVICE.operation("ListModels", on=on_all(MODEL))
def list_models(cloud: Cloud, request: Document) -> Document:
    """List models, newest first."""
    rows, token = page(models(cloud), request, what="Model")
    names = ("ModelName", "ModelArn", "CreationTime")
    return {"Models": [summary(row, names) for row in rows], "NextToken": token}


@SERVICE.operation("DeleteModel", on=on(MODEL, "ModelName"))
def delete_model(cloud: Cloud, request: Document) -> None:
    """Forget the model; endpoints that serve it go on."""
    record = find_model(cloud, request["ModelName"])
    models(cloud).delete(record["ModelName"])
    untag(cloud, record["ModelArn"])


@SERVICE.operation("CreateEndpointConfig", on=on(CONFIG, "EndpointConfigName"))
def create_config(cloud: Cloud, request: Document) -> Document:
    """Say which model an endpoint serves, and on what."""
    members = ("EndpointConfigName", "ProductionVariants", "AsyncInferenceConfig", "Tags")
    only("CreateEndpointConfig", request, *members)
    if len(request["ProductionVariants"]) > 1:
        exactly("CreateEndpointConfig.ProductionVariants (number)", len(request["ProductionVariants"]), 1)
    variant = {"InitialVariantWeight": 1.0, **request["ProductionVariants"][0]}
    _check_variant(cloud, variant)
    _check_async(request.get("AsyncInferenceConfig"))
    name = request["EndpointConfigName"]
    config_arn = arn(cloud, CONFIG, name)
    record = {
        "EndpointConfigName": name,
        "EndpointConfigArn": config_arn,
        "ProductionVariants": [variant],
        "AsyncInferenceConfig": request.get("AsyncInferenceConfig"),
        "CreationTime": now(),
    }
    with configs(cloud).lock:
        if name in configs(cloud):
            raise invalid(f'Cannot create already existing endpoint configuration "{config_arn}".')
        configs(cloud).put(name, record)
    tag(cloud, config_arn, request.get("Tags", []))
    return {"EndpointConfigArn": config_arn}


@SERVICE.operation("DescribeEndpointConfig", on=on(CONFIG, "EndpointConfigName"))
def describe_config(cloud: Cloud, request: Document) -> Document:
    """Return the endpoint configuration."""
    return find_config(cloud, request["EndpointConfigName"])


@SERVICE.operation("ListEndpointConfigs", on=on_all(CONFIG))
def list_configs(cloud: Cloud, request: Document) -> Document:
    """List endpoint configurations, newest first."""
    rows, token = page(configs(cloud), request, what="EndpointConfig")
    names = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
    return {"EndpointConfigs": [summary(row, names) for row in rows], "NextToken": token}


@SERVICE.operation("DeleteEndpointConfig", on=on(CONFIG, "EndpointConfigName"))
def delete_config(cloud: Cloud, request: Document) -> None:
    """Forget the configuration; endpoints made of it go on."""
    record = find_config(cloud, request["EndpointConfigName"])
    configs(cloud).delete(record["EndpointConfigName"])
    untag(cloud, record["EndpointConfigArn"])


def find_model(cloud: Cloud, name: str) -> Record:
    """Return the model's record, or answer as SageMaker does."""
    record = models(cloud).get(name)
    if record is None:
        raise invalid(f'Could not find model "{arn(cloud, MODEL, name)}".')
    return record


def find_config(cloud: Cloud, name: str) -> Record:
    """Return the endpoint configuration's record, or answer as SageMaker does."""
    record = configs(cloud).get(name)
    if record is None:
        raise invalid(f'Could not find endpoint configuration "{arn(cloud, CONFIG, name)}".')
    return record


def _check_container(container: Document) -> None:
    where = "PrimaryContainer"
    only(where, container, "ContainerHostname", "Image", "Mode", "ModelDataUrl", "Environment")
    exactly(f"{where}.Mode", container.get("Mode"), "SingleModel")
    if "Image" not in container:
        raise invalid(f"{where}.Image is required")
    if url := container.get("ModelDataUrl"):
        _, key = location(url)
        if not key.endswith(MODEL_ARCHIVES):
            raise invalid(f"{where}.ModelDataUrl must name an object that ends in .tar.gz, not {url}")


def _check_variant(cloud: Cloud, variant: Document) -> None:
    where = "ProductionVariants"
    only(
        where, variant,
        "VariantName", "ModelName", "InitialInstanceCount", "InstanceType", "InitialVariantWeight",
        "VolumeSizeInGB", "ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds",
    )  # fmt: skip
    for name in ("ModelName", "InstanceType", "InitialInstanceCount"):
        if name not in variant:
            raise invalid(f"{where}.{name} is required")
    capacity.size_of(variant["InstanceType"])
    find_model(cloud, variant["ModelName"])


def _check_async(config: Document | None) -> None:
    where = "AsyncInferenceConfig"
    if config is None:
        return
    output = config["OutputConfig"]
    only(where, config, "ClientConfig", "OutputConfig")
    only(f"{where}.OutputConfig", output, "S3OutputPath", "S3FailurePath", "NotificationConfig")
    notices = output.get("NotificationConfig", {})
    only(f"{where}.OutputConfig.NotificationConfig", notices, "SuccessTopic", "ErrorTopic")
    if "S3OutputPath" not in output:
        raise invalid(f"{where}.OutputConfig.S3OutputPath is required")
    for path in (output["S3OutputPath"], output.get("S3FailurePath")):
        if path is not None:
            location(path)
