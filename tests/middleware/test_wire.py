"""Tables throttled, SageMaker failing, functions killed between two writes: what a client sees of it."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
import studio as shop
from faults import API, JOBS, STATE, Fault, configure, resource, shoot, wired

THROTTLED = "ThrottlingException"
ATTEMPTS = 3
"""How often a function asks a table before it gives up."""
CERTAIN = 8
"""Calls that asking for a picture takes at least: that a user has asked is not always written at once."""
AGAIN = "1"
LONG_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="microseconds")


@pytest.fixture
def wire(studio):
    """Lay wires to functions, which are named as in their template."""
    with ExitStack() as laid:
        cloud, functions = studio.clients.dynamodb.meta.endpoint_url, studio.clients._client("lambda")
        yield lambda name, stack=API: laid.enter_context(
            wired(functions, resource(studio, stack, name), cloud)
        )


@pytest.fixture(scope="module")
def paint(studio):
    """Ask for a picture; the endpoint and the checkpoint are there."""
    endpoint = shop.painter(studio, "wire")
    shop.upload(studio, "wire.safetensors")
    asked = {
        "task_type": "txt2img",
        "inference_type": "Async",
        "sagemaker_endpoint_name": endpoint,
        "models": {"Stable-diffusion": ["wire.safetensors"]},
        "payload_string": json.dumps({"prompt": "a wire"}),
    }
    return lambda: studio.ask("CreateInferenceJob", asked)


def passes(answer):
    """Whether a client is told to ask again."""
    return answer.status_code in {429, 503} and answer.headers["Retry-After"] == AGAIN


def jobs(studio):
    """Every job by its id."""
    found = studio.data("ListInferences", query={"limit": 1000})["inferences"]
    return {each["InferenceJobId"]: each["status"] for each in found}


def test_a_throttled_table_is_told_as_something_that_passes(studio, wire):
    with wire("Roles").faulty(Fault("Query", THROTTLED)):
        answer = studio.ask("ListRoles")

    assert passes(answer)
    assert "try again" in answer.json()["message"]
    assert 200 == studio.ask("ListRoles").status_code


def test_a_token_that_cannot_be_looked_up_now_may_be_later(studio, wire):
    token = studio.user("wired", "role:list")

    with wire("Authorizer").faulty(Fault("GetItem", THROTTLED)):
        answer = studio.ask("ListRoles", token=token, username=None)

    assert passes(answer)
    assert {"message", "requestId"} == answer.json().keys()
    assert 200 == studio.ask("ListRoles", token=token, username=None).status_code


def test_a_user_who_asks_too_often_is_told_to_wait(studio):
    functions, name = studio.clients._client("lambda"), resource(studio, API, "Users")
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    configure(functions, name, {**before, "USER_REQUESTS": "5"})
    try:
        answers = [studio.ask("ListTokens", at={"username": "api"}) for _ in range(30)]
    finally:
        configure(functions, name, before)

    assert {200, 429} == {each.status_code for each in answers}
    assert all(passes(each) for each in answers if each.status_code == 429)
    assert 200 == studio.ask("ListTokens", at={"username": "api"}).status_code


def test_a_job_is_accepted_once_or_not_at_all_wherever_the_table_is_throttled(studio, wire, paint):
    line, before = wire("InferencesFunction"), jobs(studio)
    assert 202 == paint().status_code

    for spared in range(len(line.called)):
        with line.faulty(Fault(code=THROTTLED, spared=spared, times=ATTEMPTS), surely=spared < CERTAIN):
            answer = paint()
        assert answer.status_code == 202 or passes(answer), (spared, line.called, answer.text)
        if answer.status_code == 202:
            id = answer.json()["data"]["InferenceJobId"]
            assert "succeeded" == shop.ended(studio, id)["status"]
        assert "succeeded" == shop.ended(studio, paint().json()["data"]["InferenceJobId"])["status"]

    new = {id: status for id, status in jobs(studio).items() if id not in before}
    assert {"succeeded"} >= set(new.values()) - {"created"}


@pytest.mark.parametrize(
    ("code", "status"), [("ThrottlingException", 400), ("ServiceUnavailable", 503), ("InternalFailure", 500)]
)
def test_an_endpoint_that_takes_no_jobs_now_loses_none(studio, wire, paint, code, status):
    line = wire("InferencesFunction")

    with line.faulty(Fault("InvokeEndpointAsync", code, status)):
        answer = paint()

    assert answer.status_code == 202 or passes(answer)
    if (
        answer.status_code == 202
    ):  # nobody knows whether SageMaker took it: the reconciler hands it over again
        job = answer.json()["data"]["InferenceJobId"]
        grown_old(studio, job)
        assert "succeeded" == shop.ended(studio, job)["status"]
    assert "succeeded" == shop.ended(studio, paint().json()["data"]["InferenceJobId"])["status"]


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
def test_an_endpoint_that_sagemaker_is_too_busy_to_make_leaves_nothing(studio, wire, operation):
    role, sagemaker = f"wire-{operation}", studio.clients._client("sagemaker")
    studio.data("CreateRole", {"role_name": role, "permissions": ["inference:all"]})
    asked = {
        "endpoint_name": operation,
        "endpoint_type": "Async",
        "instance_type": "ml.g4dn.xlarge",
        "initial_instance_count": 1,
        "autoscaling_enabled": False,
        "assign_to_roles": [role],
    }

    with wire("EndpointsFunction").faulty(Fault(operation, "ThrottlingException")):
        answer = studio.ask("CreateEndpoint", asked)

    assert passes(answer), answer.text
    name = f"sd-async-{operation}"
    assert [] == sagemaker.list_models(NameContains=name)["Models"]
    assert [] == sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"]
    assert [] == sagemaker.list_endpoints(NameContains=name)["Endpoints"]

    made = studio.ask("CreateEndpoint", asked)
    assert 202 == made.status_code, made.text
    shop.until(lambda: 204 == studio.ask("DeleteEndpoints", {"endpoint_name_list": [name]}).status_code)


def test_jobs_of_a_function_killed_between_any_two_calls_come_to_their_end(studio, wire, paint):
    line, before, killed = wire("InferencesFunction"), jobs(studio), []
    assert 202 == paint().status_code

    for spared in range(len(line.called)):
        death = Fault(spared=spared, times=1, then=lambda: killed.extend(shoot(studio, "InferencesFunction")))
        with line.faulty(death, surely=spared < CERTAIN):
            answer = paint()
        assert answer.status_code in {202, 500, 503, 504}, answer.text

    assert len(killed) >= CERTAIN
    for job in jobs(studio).keys() - before.keys():
        if "inprogress" == studio.data("GetInferenceJob", at={"id": job})["status"]:
            grown_old(studio, job)
    new = {id for id, status in jobs(studio).items() if id not in before and status != "created"}
    assert {"succeeded"} == {shop.ended(studio, each)["status"] for each in new}
    assert all(one_picture(studio, each) for each in new)


def test_a_result_that_a_throttled_table_holds_up_is_taken_soon_after(studio, wire, paint):
    with wire("Results", JOBS).faulty(Fault("GetItem", THROTTLED, times=ATTEMPTS)):
        job = paint().json()["data"]["InferenceJobId"]

        assert "succeeded" == shop.ended(studio, job)["status"]

    assert one_picture(studio, job)


def test_a_role_is_deleted_once_more_after_its_function_was_killed_on_the_way(studio, wire):
    studio.data("CreateRole", {"role_name": "wire", "permissions": ["inference:list"]})
    token, line = studio.user("mortal", "role:list"), wire("Roles")
    studio.data("CreateUser", {"username": "mortal", "roles": ["mortal", "wire"]})
    assert 200 == studio.ask("ListRoles", token=token, username=None).status_code

    with line.faulty(Fault("TransactWriteItems", times=1, then=lambda: shoot(studio, "Roles"))):
        answer = studio.ask("DeleteRoles", {"role_name_list": ["mortal"]})
    assert answer.status_code >= 500

    assert 204 == studio.ask("DeleteRoles", {"role_name_list": ["mortal"]}).status_code
    assert [] == studio.data("ListRoles", query={"role": "mortal"})["roles"]
    assert [["wire"]] == [
        each["roles"] for each in studio.data("ListUsers", query={"username": "mortal"})["users"]
    ]
    assert 403 == studio.ask("ListRoles", token=token, username=None).status_code


def grown_old(studio, job):
    """Make a job one that was started long ago, and call who looks after such jobs."""
    studio.clients.dynamodb.update_item(
        TableName=resource(studio, STATE, "Inferences"),
        Key={"id": {"S": job}},
        UpdateExpression="SET startTime = :then",
        ConditionExpression="attribute_exists(running)",
        ExpressionAttributeValues={":then": {"S": LONG_AGO}},
    )
    done = studio.clients._client("lambda").invoke(FunctionName=resource(studio, JOBS, "Reconciler"))
    assert "FunctionError" not in done, done["Payload"].read()


def one_picture(studio, job):
    """Whether a job has one picture and its parameters, and nothing twice."""
    return len(studio.data("GetInferenceJob", at={"id": job})["img_presigned_urls"]) == 1
