"""How much work each operation is apart from its calls of AWS: the median of some rounds, in milliseconds.

    python tests/bench/operations.py [--rounds 25]

The functions run in this process, with their own adapters, on a faked AWS; the time inside boto3's calls is
taken off, and counted is CPU time, so that other work on the machine does not show. It fails when an
operation takes more than 3 ms, and more than 0.6 ms for each of its calls.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import boto3  # noqa: E402
from checkpoint_fakes import safetensors  # noqa: E402
from deployment import DREAM, ROLE, Deployment, deployed  # noqa: E402

from atelier.contract.operations import OPERATIONS  # noqa: E402

MOST, MOST_FOR_A_CALL = 3.0, 0.6
ENDPOINT = {
    "endpoint_type": "Async",
    "instance_type": "ml.g4dn.xlarge",
    "initial_instance_count": 1,
    "autoscaling_enabled": False,
    "assign_to_roles": [ROLE],
}
JOB = {"task_type": "txt2img", "inference_type": "Async", "models": {"Stable-diffusion": [DREAM]}}

Asked = dict[str, Any]
Prepare = Callable[[Deployment, int], Asked]
"""Prepares a round, and returns what is given to `Deployment.call`."""


def main() -> None:
    """Print one JSON object: milliseconds and calls of AWS by operation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    with deployed() as deployment:
        measured = {each: measure(deployment, each, rounds) for each in OPERATIONS}
    json.dump({"own_milliseconds_and_calls": measured}, sys.stdout)
    sys.stdout.write("\n")
    slow = [name for name, (own, calls) in measured.items() if own > max(MOST, MOST_FOR_A_CALL * calls)]
    if slow:
        most = f"{MOST} ms, and than {MOST_FOR_A_CALL} ms a call,"
        sys.exit(f"more than {most} apart from AWS: {', '.join(slow)}")


def measure(deployment: Deployment, name: str, rounds: int) -> tuple[float, int]:
    """Run an operation; return the median of its own milliseconds, and its calls of AWS."""
    own, calls = [], []
    for number in range(rounds):
        given = PREPARE.get(name, nothing)(deployment, number)
        deployment.call(name, **given)
        own.append(1000 * deployment.own)
        calls.append(sum(deployment.asked.values()))
    return round(statistics.median(own), 2), int(statistics.median(calls))


def nothing(deployment: Deployment, number: int) -> Asked:
    return {}


def role(deployment: Deployment, number: int) -> Asked:
    return {"body": {"role_name": f"role{number}", "permissions": ["inference:all"]}}


def gone_role(deployment: Deployment, number: int) -> Asked:
    deployment.call("CreateRole", **role(deployment, number))
    return {"body": {"role_name_list": [f"role{number}"]}}


def user(deployment: Deployment, number: int) -> Asked:
    return {"body": {"username": f"user{number}", "roles": [ROLE]}}


def gone_user(deployment: Deployment, number: int) -> Asked:
    deployment.call("CreateUser", **user(deployment, number))
    return {"body": {"user_name_list": [f"user{number}"]}}


def token(deployment: Deployment, number: int) -> Asked:
    deployment.call("CreateUser", **user(deployment, number))
    return {"body": {"description": "bench"}, "username": f"user{number}"}


def tokens(deployment: Deployment, number: int) -> Asked:
    deployment.call("CreateToken", **token(deployment, number))
    return {"username": f"user{number}"}


def gone_token(deployment: Deployment, number: int) -> Asked:
    made = deployment.call("CreateToken", **token(deployment, number))
    return {"username": f"user{number}", "id": made["token"]["id"]}


def checkpoint(deployment: Deployment, number: int, stem: str = "new") -> Asked:
    files = [{"filename": f"{stem}{number}.safetensors", "parts_number": 5}]
    return {"body": {"checkpoint_type": "Lora", "filenames": files}}


def uploaded(deployment: Deployment, number: int, stem: str = "up") -> Asked:
    """Upload a checkpoint up to the request that ends it."""
    made = deployment.call("CreateCheckpoint", **checkpoint(deployment, number, stem))["checkpoint"]
    ((name, where),) = made["params"]["multipart_upload"].items()
    part = boto3.client("s3").upload_part(
        Bucket=where["bucket"],
        Key=where["key"],
        UploadId=where["upload_id"],
        PartNumber=1,
        Body=safetensors(),
    )
    tags = {name: [{"ETag": part["ETag"], "PartNumber": 1}]}
    return {"body": {"status": "Active", "multi_parts_tags": tags}, "id": made["id"]}


def gone_checkpoint(deployment: Deployment, number: int) -> Asked:
    asked = uploaded(deployment, number, "gone")
    deployment.call("UpdateCheckpoint", **asked)
    return {"body": {"checkpoint_id_list": [asked["id"]]}}


def endpoint(deployment: Deployment, number: int) -> Asked:
    forget_endpoints(deployment)
    return {"body": {**ENDPOINT, "endpoint_name": f"new{number}"}}


def gone_endpoint(deployment: Deployment, number: int) -> Asked:
    forget_endpoints(deployment)
    deployment.call("CreateEndpoint", {**ENDPOINT, "endpoint_name": f"old{number}"})
    return {"body": {"endpoint_name_list": [f"sd-async-old{number}"]}}


def forget_endpoints(deployment: Deployment) -> None:
    """Delete the endpoints: a role has one of a kind."""
    for each in deployment.call("ListEndpoints")["endpoints"]:
        deployment.call("DeleteEndpoints", {"endpoint_name_list": [each["endpoint_name"]]})


def job(deployment: Deployment, number: int) -> Asked:
    """Have an endpoint in service, in the first round."""
    if not number and not deployment.call("ListEndpoints")["endpoints"]:
        deployment.call("CreateEndpoint", {**ENDPOINT, "endpoint_name": "jobs"})
        deployment.call("ListEndpoints")
    return {"body": JOB}


def waiting(deployment: Deployment, number: int) -> Asked:
    made = deployment.call("CreateInferenceJob", **job(deployment, number))["inference"]
    key = made["api_params_s3_location"].removeprefix("s3://bucket/")
    boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=b'{"prompt": "a cat"}')
    return {"id": made["id"]}


def started(deployment: Deployment, number: int) -> Asked:
    asked = waiting(deployment, number)
    deployment.call("StartInferences", **asked)
    return asked


def gone_job(deployment: Deployment, number: int) -> Asked:
    return {"body": {"inference_id_list": [started(deployment, number)["id"]]}}


def dataset(deployment: Deployment, number: int, stem: str = "set") -> Asked:
    files = [{"filename": f"{each}.png"} for each in range(20)]
    asked = {"dataset_name": f"{stem}{number}", "content": files, "creator": "api", "prefix": ""}
    return {"body": asked}


def filled(deployment: Deployment, number: int, stem: str = "full") -> Asked:
    """Make a dataset with its pictures."""
    made = deployment.call("CreateDataset", **dataset(deployment, number, stem))
    for name, link in made["s3PresignUrl"].items():
        key = urlsplit(link).path.removeprefix("/").removeprefix("bucket/")
        boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=name.encode())
    return {"id": f"{stem}{number}"}


def enabled(deployment: Deployment, number: int) -> Asked:
    return {**filled(deployment, number, "on"), "body": {"status": "Enabled"}}


def cropped(deployment: Deployment, number: int) -> Asked:
    return {**filled(deployment, number, "crop"), "body": {"max_resolution": "64x64"}}


def gone_dataset(deployment: Deployment, number: int) -> Asked:
    return {"body": {"dataset_name_list": [filled(deployment, number, "gone")["id"]]}}


def training(deployment: Deployment, number: int, stem: str = "lora") -> Asked:
    """Have a dataset to train from, in the first round."""
    if not number and not deployment.call("ListDatasets", query={"dataset_status": "Enabled"})["datasets"]:
        filled(deployment, 0, "cats")
        deployment.call("UpdateDataset", {"status": "Enabled"}, id="cats0")
    (cats, *_) = deployment.call("ListDatasets", query={"dataset_status": "Enabled"})["datasets"]
    trained = {"model": DREAM, "dataset": cats["datasetName"], "fm_type": "sd_1_5"}
    params = {
        "training_params": {**trained, "training_instance_type": "ml.g4dn.xlarge"},
        "config_params": {"output_name": f"{stem}{number}"},
    }
    return {"body": {"lora_train_type": "kohya", "params": params}}


def trained(deployment: Deployment, number: int, stem: str = "shown") -> Asked:
    return {"id": deployment.call("CreateTraining", **training(deployment, number, stem))["id"]}


def stopped_training(deployment: Deployment, number: int) -> Asked:
    return trained(deployment, number, "stopped")


def gone_training(deployment: Deployment, number: int) -> Asked:
    return {"body": {"training_id_list": [trained(deployment, number, "gone")["id"]]}}


def merge(deployment: Deployment, number: int, stem: str = "merge") -> Asked:
    asked = {"method": "no_interpolation", "checkpoints": [DREAM], "output_name": f"{stem}{number}"}
    return {"body": asked}


def merged(deployment: Deployment, number: int, stem: str = "seen") -> Asked:
    return {"id": deployment.call("MergeCheckpoints", **merge(deployment, number, stem))["merge"]["id"]}


def stopped_merge(deployment: Deployment, number: int) -> Asked:
    return merged(deployment, number, "halt")


def gone_merge(deployment: Deployment, number: int) -> Asked:
    return {"body": {"merge_id_list": [merged(deployment, number, "away")["id"]]}}


PREPARE: dict[str, Prepare] = {
    "CreateRole": role,
    "DeleteRoles": gone_role,
    "CreateUser": user,
    "DeleteUsers": gone_user,
    "CreateToken": token,
    "ListTokens": tokens,
    "DeleteToken": gone_token,
    "CreateCheckpoint": checkpoint,
    "UpdateCheckpoint": uploaded,
    "DeleteCheckpoints": gone_checkpoint,
    "CreateEndpoint": endpoint,
    "DeleteEndpoints": gone_endpoint,
    "CreateInferenceJob": job,
    "StartInferences": waiting,
    "GetInferenceJob": started,
    "DeleteInferenceJobs": gone_job,
    "CancelInferenceJob": started,
    "CreateTraining": training,
    "GetTraining": trained,
    "StopTraining": stopped_training,
    "DeleteTrainings": gone_training,
    "MergeCheckpoints": merge,
    "GetMerge": merged,
    "StopMerge": stopped_merge,
    "DeleteMerges": gone_merge,
    "CreateDataset": dataset,
    "GetDataset": filled,
    "UpdateDataset": enabled,
    "CropDataset": cropped,
    "DeleteDatasets": gone_dataset,
}


if __name__ == "__main__":
    main()
