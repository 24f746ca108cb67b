"""The middleware's operations, and what becomes of answers that are not the contract's."""

from dataclasses import replace

import pytest
from scripted_server import says

from atelier_webui import versions
from atelier_webui.accounts import account
from atelier_webui.client import Client
from atelier_webui.contract.api.endpoints import CreateEndpointRequest
from atelier_webui.contract.api.inferences import CreateInferenceJobRequest
from atelier_webui.contract.operations import VERSION
from atelier_webui.errors import Incompatible, Misunderstood, Refusal

JOB = CreateInferenceJobRequest(
    task_type="txt2img", inference_type="Async", models={"Stable-diffusion": ("tiny.safetensors",)}
)


@pytest.fixture
def odd(server):
    """A client of something that is no sound middleware."""
    found = Client(account("odd", server.url, "secret"))
    yield found
    found.close()


def test_a_connection_that_fits_is_told_with_its_version(client):
    assert VERSION == client.check().version


def test_a_token_that_may_not_list_endpoints_is_a_good_token(odd, server):
    about = {"info": {"title": "Atelier", "version": VERSION}}
    refused = {"message": "User anna has no permissions: ['sagemaker_endpoint:list']"}
    server.answers(says(200, about), says(403, refused))

    assert "Atelier" == odd.check().title


@pytest.mark.parametrize(
    ("version", "what"),
    [("2.0.0", "extension"), ("1.6.9", "middleware"), ("0.9", "middleware"), ("latest", "middleware")],
)
def test_a_middleware_of_another_version_is_refused_with_what_to_update(cloud, client, version, what):
    cloud.version = version

    with pytest.raises(Incompatible, match=f"speaks version {version} .* update the {what}"):
        client.check()


@pytest.mark.parametrize("version", ["1.7.0", "1.7.12", "1.8", "v1.9.0"])
def test_a_middleware_that_can_do_as_much_or_more_fits(version):
    versions.check(version)


def test_any_answer_of_another_version_is_refused(odd, server):
    server.answers(says(200, {"data": {}}, x_api_version="3.0.0"))

    with pytest.raises(Incompatible, match=r"3\.0\.0"):
        odd.inferences("txt2img")


@pytest.mark.parametrize("info", [{}, {"info": []}, {"info": {"version": 2}}])
def test_a_service_that_names_no_version_is_no_middleware(odd, server, info):
    server.answers(says(200, info))

    with pytest.raises(Misunderstood, match="does not say which version"):
        odd.check()


def test_a_wrong_token_is_called_so(cloud):
    client = Client(account("mine", cloud.url, "mistyped"))

    with pytest.raises(Refusal, match="does not know this token") as caught:
        client.check()
    client.close()
    assert 403 == caught.value.status
    assert "mistyped," not in str(caught.value)


def test_a_token_revoked_meanwhile_is_called_so_too(cloud, client):
    client.check()
    cloud.tokens.clear()

    with pytest.raises(Refusal, match="does not know this token"):
        client.endpoints()


def test_a_user_who_is_not_there_is_told_to_name_one(odd, server):
    server.answers(says(401, {"message": "Unauthorized"}))

    with pytest.raises(Refusal, match="needs a user name"):
        odd.endpoints()


@pytest.mark.parametrize(
    ("username", "header"),
    [("", {}), ("anna", {"username": "anna"}), ("Änne B", {"authorization": "Bearer c3846e6e652042"})],
)
def test_who_acts_stands_in_a_header_whatever_the_name(server, username, header):
    client = Client(account("mine", server.url, "secret", username))
    server.answers(says(200, {"message": "pong"}))

    client.ping()
    client.close()

    sent = server.asked[0][2]
    assert header == {name: sent[name] for name in ("username", "authorization") if name in sent}
    assert "secret" == sent["x-api-key"]


def test_a_refusal_is_told_in_the_middlewares_words(client):
    with pytest.raises(Refusal, match=r"^inference with id 7 not found$"):
        client.inference("7")


@pytest.mark.parametrize("document", [{}, {"message": None}, {"message": ["a"]}])
def test_a_refusal_without_words_is_told_by_its_status(odd, server, document):
    server.answers(says(400, document))

    with pytest.raises(Refusal, match="the middleware answered 400"):
        odd.endpoints()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {},
        {"endpoints": None},
        {"endpoints": [{}], "last_evaluated_key": None},
        {"endpoints": [1]},
    ],
)
def test_an_answer_of_another_shape_is_misunderstood(odd, server, data):
    server.answers(says(200, {"data": data}))

    with pytest.raises(Misunderstood, match="ListEndpoints"):
        odd.endpoints()


def test_what_a_newer_middleware_tells_beside_is_ignored(odd, server):
    server.answers(says(200, {"data": {"roles": [], "last_evaluated_key": None, "more": 1}, "news": 2}))

    assert [] == odd.roles()


def test_every_page_of_checkpoints_is_read(cloud, client):
    for number in range(250):
        cloud.checkpoint(f"m{number}.safetensors", status="Active")

    assert 251 == len({each.id for each in client.checkpoints()})
    assert 3 == cloud.times("ListCheckpoints")


def test_checkpoints_are_listed_by_type_and_status(cloud, client):
    cloud.checkpoint("style.safetensors", type="Lora", status="Active")
    cloud.checkpoint("half.safetensors", type="Lora")

    found = client.checkpoints(types=["Lora", "VAE"], statuses=["Active"])

    assert [("style.safetensors",)] == [each.name for each in found]


def test_every_page_of_endpoints_is_read(odd, server):
    first = {"endpoints": [], "last_evaluated_key": "a+b/="}
    server.answers(says(200, {"data": first}), says(200, {"data": {**first, "last_evaluated_key": None}}))

    odd.endpoints()

    assert "/prod/endpoints?limit=100&exclusive_start_key=a%2Bb%2F%3D" == server.asked[1][1]


def test_an_endpoint_is_made_and_deleted(cloud, client):
    wanted = CreateEndpointRequest(
        endpoint_type="Async",
        instance_type="ml.g5.xlarge",
        initial_instance_count=1,
        autoscaling_enabled=True,
        assign_to_roles=("artist",),
        endpoint_name="mine",
    )

    made = client.create_endpoint(wanted)
    client.delete_endpoints([made.endpoint_name])

    assert "Creating" == made.endpoint_status
    assert ["sd-async-anna"] == [each.endpoint_name for each in client.endpoints()]


def test_checkpoints_are_fetched_renamed_and_deleted(cloud, client):
    client.fetch_checkpoint("Stable-diffusion", ["https://example.com/far.safetensors"], message="hello")
    far = next(each for each in client.checkpoints() if each.name == ("far.safetensors",))
    client.rename_checkpoint(far.id, "near")

    assert "near.safetensors" in {each.name[0] for each in client.checkpoints()}
    client.delete_checkpoints([far.id])
    assert far.id not in {each.id for each in client.checkpoints()}


def test_cancelling_what_is_over_or_gone_is_fine(client):
    id = client.run_inference(_asked("a cat"))

    client.cancel_inference(id)
    client.cancel_inference("gone")

    assert "succeeded" == client.inference(id).status


def _asked(prompt):
    return replace(JOB, payload_string=f'{{"prompt": "{prompt}", "width": 64, "height": 64}}')


def test_a_job_is_listed_and_deleted(client):
    id = client.run_inference(_asked("a cat"))

    assert [id] == [each.InferenceJobId for each in client.inferences("txt2img").inferences]
    client.delete_inferences([id])
    assert () == client.inferences("txt2img").inferences


@pytest.mark.parametrize("data", [None, {}, {"InferenceJobId": 7}, []])
def test_a_job_without_an_id_is_misunderstood(odd, server, data):
    server.answers(says(202, {"data": data}))

    with pytest.raises(Misunderstood, match="which job"):
        odd.run_inference(_asked("a cat"))


def test_an_id_is_no_path(odd, server):
    server.answers(says(404, {"message": "no"}))

    with pytest.raises(Refusal):
        odd.inference("../users")
    assert "/prod/inferences/..%2Fusers" == server.asked[0][1]


def test_a_link_that_is_refused_is_not_told(odd, server):
    server.answers(says(403, b"<Error><Code>AccessDenied</Code></Error>"))

    with pytest.raises(Refusal, match=r"^S3 answered 403 AccessDenied$"):
        odd.get(f"{server.url}image?X-Amz-Signature=abc")
