"""Every operation, with every success and refusal it is to have, on the deployed API.

`studio.check` holds each answer to the document that the API serves and to the shapes of the published one.
"""

import json

import httpx
import pytest
import studio as shop
from openapi_spec_validator import validate

from atelier.contract.operations import OPERATIONS

UNKNOWN = "11111111-1111-4111-8111-111111111111"


class Journey:
    """Asks on, and remembers which operation has answered with which status."""

    def __init__(self, studio):
        self.studio, self.seen = studio, {}

    def __call__(self, operation, *given, **more):
        answer = self.studio.ask(operation, *given, **more)
        self.seen.setdefault((operation, answer.status_code), answer)
        return answer.json().get("data") if answer.content else None


@pytest.fixture(scope="module")
def journey(studio):
    """One way through all operations."""
    go = Journey(studio)
    service(go)
    accounts(go)
    checkpoints(go)
    endpoints(go)
    inferences(go)
    datasets(go)
    trainings(go)
    merges(go)
    return go


def service(go):
    for each in ("RootAPI", "Ping", "GetApiOAS"):
        go(each)


def accounts(go):
    go("CreateRole", {"role_name": "travellers", "permissions": ["inference:all"]})
    go("CreateRole", {"role_name": "travellers"})
    go("ListRoles")
    go("CreateUser", {"username": "marco", "roles": ["travellers"], "password": "polo"})
    go("CreateUser", {"username": "marco", "roles": ["nobody"]})
    go("CreateUser", {"username": "first", "roles": ["travellers"], "initial": True})
    go("ListUsers", query={"show_password": "1"})
    made = go("CreateToken", {"description": "for the way"}, at={"username": "marco"})
    go("CreateToken", {}, at={"username": "nobody"})
    go("ListTokens", at={"username": "marco"})
    go("ListTokens", at={"username": "nobody"})
    go("DeleteToken", at={"username": "marco", "id": made["token"]["id"]})
    go("DeleteToken", at={"username": "nobody", "id": "x"})
    go("DeleteUsers", {"user_name_list": ["first"]})
    go("DeleteUsers", {"user_name_list": []})
    go("DeleteRoles", {"role_name_list": ["travellers"]})
    go("DeleteRoles", {"role_name_list": ["IT Operator"]})


def checkpoints(go):
    id = shop.upload(go.studio, "journey.safetensors")
    asked = {"checkpoint_type": "Stable-diffusion", "filenames": [{"filename": "other.safetensors"}]}
    go("CreateCheckpoint", asked)
    go("CreateCheckpoint", asked)
    go("CreateCheckpoint", {"checkpoint_type": "VAE", "urls": ["https://example.invalid/far.safetensors"]})
    go("UpdateCheckpoint", {"status": "Active"}, at={"id": id})
    go("UpdateCheckpoint", {"name": "renamed"}, at={"id": id})
    go("UpdateCheckpoint", {"name": "renamed"}, at={"id": UNKNOWN})
    go("UpdateCheckpoint", {"name": "../etc"}, at={"id": id})
    go("ListCheckpoints", query={"types": "Stable-diffusion", "per_page": 2})
    go("ListCheckpoints", query={"page": "none"})
    go("DeleteCheckpoints", {"checkpoint_id_list": [id]})
    go("DeleteCheckpoints", {"checkpoint_id_list": ["7"]})


def endpoints(go):
    go.paints, go.answers = (shop.endpoint(go.studio, name, kind) for name, kind in KINDS.items())
    again = {
        "endpoint_name": "paints",
        "endpoint_type": "Async",
        "instance_type": "ml.g4dn.xlarge",
        "initial_instance_count": 1,
        "autoscaling_enabled": False,
        "assign_to_roles": ["IT Operator"],
    }
    go("CreateEndpoint", again)
    go("CreateEndpoint", {**again, "workflow_name": "none"})
    go("CreateEndpoint", {**again, "endpoint_name": "gone", "assign_to_roles": ["byoc"]})
    go("ListEndpoints", query={"limit": 1})
    go("ListEndpoints", query={"username": "nobody"})
    go("DeleteEndpoints", {"endpoint_name_list": ["sd-async-gone", "unknown"]})
    go("DeleteEndpoints", {})


KINDS = {"paints": "Async", "answers": "Real-time"}


def inferences(go):
    shop.upload(go.studio, "dream.safetensors")
    begun = {kind: job(kind) for kind in ("Async", "Real-time")}
    for kind, asked in begun.items():
        made = go("CreateInferenceJob", asked)["inference"]
        go("StartInferences", at={"id": UNKNOWN})
        put = httpx.put(made["api_params_s3_upload_url"], content=b'{"prompt": "a way"}', trust_env=False)
        assert 200 == put.status_code, (kind, put.text)
        go("StartInferences", at={"id": made["id"]})
        go("CreateInferenceJob", {**asked, "payload_string": '{"prompt": "a way"}'})
        go.last = made["id"]
    go("CreateInferenceJob", {**begun["Async"], "payload_string": "nonsense"})
    waiting = go("CreateInferenceJob", begun["Async"])["inference"]["id"]
    go("CancelInferenceJob", at={"id": waiting})
    go("CancelInferenceJob", at={"id": UNKNOWN})
    go("CancelInferenceJob", at={"id": go.last})
    go("GetInferenceJob", at={"id": go.last})
    go("GetInferenceJob", at={"id": UNKNOWN})
    go("ListInferences", query={"limit": 2})
    go("DeleteInferenceJobs", {"inference_id_list": [waiting, UNKNOWN]})
    go("DeleteInferenceJobs", {"inference_id_list": "all"})


def datasets(go):
    made = {
        "dataset_name": "cats",
        "content": [{"filename": "a.png", "name": "a.png", "type": "image", "params": {}}],
        "creator": "api",
        "prefix": "",
        "params": {"description": "some cats"},
    }
    links = go("CreateDataset", made)["s3PresignUrl"]
    go("CreateDataset", {**made, "dataset_name": "../cats"})
    go("UpdateDataset", {"status": "Enabled"}, at={"id": "cats"})
    go("UpdateDataset", {"status": "Enabled"}, at={"id": "dogs"})
    assert 200 == httpx.put(links["a.png"], content=shop.PIXEL, trust_env=False).status_code
    go("UpdateDataset", {"status": "Enabled"}, at={"id": "cats"})
    go("GetDataset", at={"id": "cats"})
    go("GetDataset", at={"id": "dogs"})
    go("ListDatasets", query={"dataset_status": "Enabled"})
    go("CropDataset", {"max_resolution": "64x64"}, at={"id": "cats"})
    go("CropDataset", {"max_resolution": "64x64"}, at={"id": "cats"})
    go("CropDataset", {"max_resolution": "64x64"}, at={"id": "dogs"})
    go("ListDatasets", query={"limit": 1})
    go("DeleteDatasets", {"dataset_name_list": ["cats_64x64", "dogs"]})
    go("DeleteDatasets", {"dataset_name_list": []})


def trainings(go):
    trained = {"training_instance_type": "ml.g4dn.xlarge", "model": "dream.safetensors", "fm_type": "sd_1_5"}
    params = {"training_params": {**trained, "dataset": "cats"}, "config_params": {"output_name": "cat"}}
    asked = {"lora_train_type": "kohya", "params": params}
    made = go("CreateTraining", asked)
    go("CreateTraining", asked)
    go("GetTraining", at={"id": made["id"]})
    go("GetTraining", at={"id": UNKNOWN})
    go("ListTrainings", query={"limit": 1})
    go("StopTraining", at={"id": made["id"]})
    go("StopTraining", at={"id": UNKNOWN})
    go("DeleteTrainings", {"training_id_list": [made["id"], UNKNOWN]})
    go("DeleteTrainings", {"training_id_list": ["7"]})


def merges(go):
    asked = {"method": "no_interpolation", "checkpoints": ["dream.safetensors"], "output_name": "half"}
    made = go("MergeCheckpoints", asked)["merge"]
    go("MergeCheckpoints", {**asked, "method": "weighted_sum"})
    go("GetMerge", at={"id": made["id"]})
    go("GetMerge", at={"id": UNKNOWN})
    go("ListMerges")
    go("StopMerge", at={"id": made["id"]})
    go("StopMerge", at={"id": UNKNOWN})
    go("DeleteMerges", {"merge_id_list": [made["id"], UNKNOWN]})
    go("DeleteMerges", {"merge_id_list": "all"})


def job(kind, **more):
    models = {"Stable-diffusion": ["dream.safetensors"]}
    return {"task_type": "txt2img", "inference_type": kind, "models": models, **more}


SUCCESSES = [(each.id, status) for each in OPERATIONS.values() for status in each.answers]
BAD = [each.id for each in OPERATIONS.values() if each.takes]
MISSING = [
    *("CreateToken", "ListTokens", "DeleteToken", "UpdateCheckpoint", "CreateEndpoint"),
    *("GetInferenceJob", "CancelInferenceJob", "GetTraining", "StopTraining", "GetMerge", "StopMerge"),
    *("GetDataset", "UpdateDataset", "CropDataset"),
]


@pytest.mark.parametrize(("operation", "status"), SUCCESSES)
def test_an_operation_answers_with_each_success_of_the_table(journey, operation, status):
    assert (operation, status) in journey.seen


@pytest.mark.parametrize("operation", [each for each in BAD if each != "CreateToken"])
def test_an_operation_answers_a_bad_request_with_400(journey, operation):
    assert (operation, 400) in journey.seen


@pytest.mark.parametrize("operation", MISSING)
def test_an_operation_on_what_is_not_there_answers_404(journey, operation):
    assert (operation, 404) in journey.seen


def test_the_served_document_is_valid_and_names_this_deployment(studio):
    validate(studio.document)

    assert studio.url.endswith("/prod/")
    assert {each.id for each in OPERATIONS.values()} == {
        operation["operationId"] for path in studio.document["paths"].values() for operation in path.values()
    }


def test_the_answers_have_the_version_and_open_to_browsers(studio):
    answer = studio.ask("Ping")

    assert ("1.7.0", "*") == (
        answer.headers["x-api-version"],
        answer.headers["access-control-allow-origin"],
    )
    assert {"statusCode": 200, "message": "pong"} == {
        name: value for name, value in answer.json().items() if name != "debug"
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, 'object has missing required properties (["permissions","role_name"])'),
        ({"role_name": "", "permissions": ["role:all"]}, "is too short"),
        ({"role_name": "r", "permissions": "role:all"}, "does not match any allowed primitive type"),
    ],
)
def test_a_bad_body_is_refused_in_the_words_of_api_gateway(studio, body, words):
    answer = studio.ask("CreateRole", body)

    assert {"statusCode", "message", "requestId"} == answer.json().keys()
    assert words in answer.json()["message"]


def test_a_body_too_large_is_413(studio):
    body = json.dumps({"role_name": "x" * 300_000, "permissions": ["role:all"]}).encode()

    assert 413 == studio.ask("CreateRole", content=body).status_code


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"null", b"[" * 5000 + b"]" * 5000])
def test_a_body_that_is_no_object_is_a_bad_request(studio, content):
    assert 400 == studio.ask("CreateRole", content=content).status_code


def test_pages_follow_one_another_newest_first(studio, journey):
    first = studio.data("ListInferences", query={"limit": 1})
    second = studio.data(
        "ListInferences", query={"limit": 1, "exclusive_start_key": first["last_evaluated_key"]}
    )

    assert first["inferences"][0]["createTime"] > second["inferences"][0]["createTime"]


def test_a_picture_is_what_the_endpoint_has_painted(studio, journey):
    made = studio.data("CreateInferenceJob", job("Async", payload_string='{"prompt": "a cat"}'))

    done = shop.ended(studio, made["InferenceJobId"])

    assert ("succeeded", ["image_0.png"]) == (done["status"], done["image_names"])
    assert shop.PIXEL == httpx.get(done["img_presigned_urls"][0], trust_env=False).content


def test_what_the_endpoint_refuses_is_the_reason_of_the_failure(studio, journey):
    made = studio.data("CreateInferenceJob", job("Async", payload_string='{"prompt": "refuse"}'))

    done = shop.ended(studio, made["InferenceJobId"])

    assert "failed" == done["status"]
    assert "no such picture" in json.dumps(done)
