"""What goes wrong by itself, or because someone wants it to: nothing is lost, doubled, or told too much."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import studio as shop
from faults import API, STATE, resource, shoot

HOSTILE = [
    "../../etc/passwd",
    "..\\..\\windows",
    "a/../../b.safetensors",
    "/absolute.safetensors",
    "' OR 1=1 --",
    "{{7*7}}",
    "$(reboot)",
    "<script>alert(1)</script>",
    "nul\x00byte",
    "\u202egnp.exe",
    "\U0001f600" * 60,
    "\u212b\u0301\ufb01",
    "a" * 5000,
    "%2e%2e%2f",
    "line\nbreak",
]
PRIVATE = [
    "http://example.com/a.safetensors",
    "https://127.0.0.1/a.safetensors",
    "https://localhost/a.safetensors",
    "https://169.254.169.254/latest/meta-data/a.safetensors",
    "https://[::1]/a.safetensors",
    "https://10.0.0.1/a.safetensors",
    "https://2130706433/a.safetensors",
    "https://user:secret@example.com/a.safetensors",
    "file:///etc/passwd",
    "ftp://example.com/a.safetensors",
    "s3://bucket/a.safetensors",
]


@pytest.fixture(scope="module")
def painting(studio):
    """An endpoint and a checkpoint for jobs; what a job takes comes as its parameters."""
    name = shop.painter(studio, "faults")
    shop.upload(studio, "faults.safetensors")

    def ask(**params):
        asked = {
            "task_type": "txt2img",
            "inference_type": "Async",
            "sagemaker_endpoint_name": name,
            "models": {"Stable-diffusion": ["faults.safetensors"]},
            "payload_string": json.dumps(params),
        }
        return studio.ask("CreateInferenceJob", asked)

    return ask


def tell(studio, job, topic, document):
    """Bring a notice as SageMaker would."""
    sns = studio.clients._client("sns")
    sns.publish(TopicArn=resource(studio, STATE, topic), Message=json.dumps({"inferenceId": job, **document}))


def kept(studio, job):
    found = studio.clients.s3.list_objects_v2(Bucket=studio.bucket, Prefix=f"inferences/{job}/")
    return [each["Key"] for each in found.get("Contents", [])]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_names_of_checkpoints_are_refused_or_kept_as_they_are(studio, value):
    asked = {"checkpoint_type": "Lora", "filenames": [{"filename": f"{value}.safetensors"}]}

    answer = studio.ask("CreateCheckpoint", asked)

    assert answer.status_code in {201, 400}
    if answer.status_code == 201:
        made = answer.json()["data"]["checkpoint"]
        key = made["params"]["multipart_upload"][f"{value}.safetensors"]["key"]
        assert [f"{value}.safetensors"] == key.removeprefix("checkpoints/").split("/")[-1:]
        studio.data("DeleteCheckpoints", {"checkpoint_id_list": [made["id"]]})


@pytest.mark.parametrize("value", [each for each in HOSTILE if "/" not in each])
def test_hostile_ids_and_names_find_nothing(studio, value):
    for operation in ("GetInferenceJob", "CancelInferenceJob", "StartInferences", "ListTokens"):
        answer = studio.ask(operation, at={"id": value, "username": value})

        assert answer.status_code in {400, 403, 404}, (operation, answer.text)


@pytest.mark.parametrize("path", ["inferences/a%2Fb", "inferences/..%2Fusers", "users/a%2Fb/tokens"])
def test_an_encoded_slash_is_a_slash_and_no_such_path_is_there(studio, path):
    headers = {"x-api-key": studio.token, "username": "api"}

    answer = httpx.get(studio.url + path, headers=headers, trust_env=False, timeout=60)

    assert (404, "Not Found") == (answer.status_code, answer.json()["message"])


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_names_of_users_are_names_or_refused(studio, value):
    answer = studio.ask("CreateUser", {"username": value, "roles": ["byoc"]})

    assert answer.status_code in {201, 400}
    studio.ask("DeleteUsers", {"user_name_list": [value]})


@pytest.mark.parametrize("url", PRIVATE)
def test_a_url_that_is_not_public_https_is_never_fetched(studio, url):
    before = disabled(studio)

    answer = studio.ask("CreateCheckpoint", {"checkpoint_type": "Lora", "urls": [url]})

    assert answer.status_code in {202, 400}
    if answer.status_code == 202:  # where a host is, is only known when it is resolved: the job refuses it
        shop.until(lambda: disabled(studio) > before)


def disabled(studio):
    query = {"types": "Lora", "status": "Disabled", "per_page": 1}
    return studio.data("ListCheckpoints", query=query)["total"]


def test_a_pickled_checkpoint_is_refused_by_name(studio):
    asked = {"checkpoint_type": "Stable-diffusion", "filenames": [{"filename": "evil.ckpt"}]}

    answer = studio.ask("CreateCheckpoint", asked)

    assert 400 == answer.status_code
    assert "evil.ckpt" in answer.json()["message"]


def test_a_presigned_link_is_for_its_own_key_alone(studio):
    asked = {"checkpoint_type": "VAE", "filenames": [{"filename": "mine.safetensors"}]}
    link = studio.data("CreateCheckpoint", asked)["s3PresignUrl"]["mine.safetensors"][0]

    other = httpx.put(link.replace("mine.safetensors", "yours.safetensors"), content=b"x", trust_env=False)

    assert 403 == other.status_code


def test_a_notice_that_comes_again_changes_nothing(studio, painting):
    job = painting(prompt="once").json()["data"]["InferenceJobId"]
    done = shop.ended(studio, job)

    for topic, status in (("SuccessTopic", "Completed"), ("ErrorTopic", "Failed")):
        location = {"outputLocation": f"s3://{studio.bucket}/sagemaker/none.out"}
        tell(studio, job, topic, {"invocationStatus": status, "responseParameters": location})
    settle(studio, painting)

    again = studio.data("GetInferenceJob", at={"id": job})
    assert (done["status"], done["completeTime"]) == (again["status"], again["completeTime"])


def test_notices_of_nothing_of_ours_hold_nothing_up(studio, painting):
    for document in ({"invocationStatus": "Completed"}, {"invocationStatus": 7}, {"inferenceId": "../x"}):
        tell(studio, "11111111-1111-4111-8111-111111111111", "SuccessTopic", document)

    settle(studio, painting)


def settle(studio, painting):
    """Have a later job come to its end: what was told before it has been heard by then."""
    assert (
        "succeeded" == shop.ended(studio, painting(prompt="later").json()["data"]["InferenceJobId"])["status"]
    )


def test_what_a_cancelled_job_still_paints_is_thrown_away(studio, painting):
    job = painting(prompt="slow", seconds=2).json()["data"]["InferenceJobId"]

    assert "cancelled" == studio.data("CancelInferenceJob", at={"id": job})["status"]
    settle(studio, painting)
    settle(studio, painting)

    assert "cancelled" == studio.data("GetInferenceJob", at={"id": job})["status"]
    assert [] == kept(studio, job)


def test_a_deleted_job_leaves_nothing_even_when_it_still_runs(studio, painting):
    job = painting(prompt="slow", seconds=2).json()["data"]["InferenceJobId"]

    studio.data("DeleteInferenceJobs", {"inference_id_list": [job]})
    settle(studio, painting)
    settle(studio, painting)

    assert 404 == studio.ask("GetInferenceJob", at={"id": job}).status_code
    assert [] == kept(studio, job)


def test_an_unexpected_error_tells_its_request_and_nothing_else(studio):
    iam, role = studio.clients._client("iam"), resource(studio, API, "RolesRole")
    deny = {"Effect": "Deny", "Action": "dynamodb:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    iam.put_role_policy(RoleName=role, PolicyName="fault", PolicyDocument=policy)
    try:
        answer = studio.ask("ListRoles")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="fault")

    assert 500 == answer.status_code
    assert {"statusCode", "message", "requestId"} == answer.json().keys()
    assert "Internal Server Error" == answer.json()["message"]
    assert 200 == shop.until(lambda: studio.ask("ListRoles")).status_code


def test_jobs_outlive_functions_that_are_killed(studio, painting):
    killed = []

    def ask(number):
        if number % 4 == 3:  # while others are on their way
            killed.extend(shoot(studio, "InferencesFunction"))
        return painting(prompt=f"number {number}")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(24)))

    assert killed
    assert {202, 500, 503, 504} >= {each.status_code for each in answers}
    begun = [each.json()["data"]["InferenceJobId"] for each in answers if each.status_code == 202]
    assert begun
    assert len(set(begun)) == len(begun)
    assert {"succeeded"} == {shop.ended(studio, each)["status"] for each in begun}
