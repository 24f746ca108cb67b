"""The middleware deployed into a local cloud: its API opens to tokens, and to nothing else."""

import hashlib
import json
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError
from stacks import eventually

from atelier import deploy
from atelier.cli.connect import reached
from atelier.client import middleware, tokens
from atelier.client.errors import NotDeployed, Refusal
from atelier.client.outputs import outputs

PREFIX = "artists"
HEADER = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
SAFETENSORS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(4)
CHECKPOINT = {
    "checkpoint_type": "Stable-diffusion",
    "filenames": [{"filename": "a.safetensors", "parts_number": 1}],
}


@pytest.fixture(scope="module")
def clients(cloud):
    """Clients of the cloud with a middleware in it; what its endpoints would run is not built."""
    made = reached(cloud.connection)
    deploy.deploy(made, prefix=PREFIX, parameters={"EndpointImage": "none"}, order=deploy.MIDDLEWARE)
    return made


@pytest.fixture(scope="module")
def place(clients):
    return middleware.place(clients, PREFIX)


@pytest.fixture(scope="module")
def api(clients):
    return middleware.connect(clients, PREFIX)


def ask(place, path, key=None, method="GET", **headers):
    if key is not None:
        headers["x-api-key"] = key
    request = urllib.request.Request(place.url + path, headers=headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(request, timeout=40)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, json.loads(answer.read() or b"null"), answer.headers


def test_the_deployments_own_token_opens_the_api(place, api):
    status, document, headers = ask(place, "ping", api.token)

    assert (200, "pong") == (status, document["message"])
    assert "*" == headers["Access-Control-Allow-Origin"]
    assert 32 <= len(api.token) and api.token.isalnum()


@pytest.mark.parametrize("key", [None, "", "wrong", "x" * 300])
@pytest.mark.parametrize("path", ["", "ping", "api", "users"])
def test_nothing_opens_without_a_token_that_is_known(place, path, key):
    status, document, headers = ask(place, path, key)

    assert (403, "Forbidden") == (status, document.pop("message"))
    assert {"requestId"} == document.keys()
    assert "*" == headers["Access-Control-Allow-Origin"]


def test_what_is_not_there_is_not_found(place, api):
    status, document, _ = ask(place, "nonsense", api.token)

    assert (404, "Not Found") == (status, document["message"])


def test_a_browser_may_ask_what_it_may_send(place):
    status, document, headers = ask(place, "users", method="OPTIONS", Origin="http://127.0.0.1:7860")

    assert (204, None) == (status, document)
    assert "x-api-key" in headers["Access-Control-Allow-Headers"]


def test_a_users_token_is_made_listed_and_revoked(place, api):
    api.call("POST", "users", {"username": "ann", "roles": ["byoc"]})
    made = tokens.create(api, "ann", description="laptop", expires_in=3600)

    assert (200, ["laptop"]) == (
        ask(place, "users", made.secret)[0],
        [each.description for each in tokens.listed(api, "ann")],
    )
    assert 403 == ask(place, "users", made.secret, username="api")[0]
    tokens.revoke(api, "ann", made.token.id)
    assert [] == tokens.listed(api, "ann")
    assert made.secret not in repr(made) and api.token not in repr(api)


def test_a_token_that_was_never_used_opens_nothing_once_it_is_revoked(place, api):
    made = tokens.create(api, "api")
    tokens.revoke(api, "api", made.token.id)

    assert 403 == ask(place, "ping", made.secret)[0]


def test_the_api_refuses_in_its_own_words(api):
    with pytest.raises(Refusal, match=r"the API answered 404: .*nobody"):
        tokens.create(api, "nobody")


def test_every_family_of_operations_answers(api):
    for path in ("roles", "users", "checkpoints", "endpoints", "inferences"):
        assert isinstance(api.call("GET", path), dict), path


def test_the_deployment_describes_itself(place, api):
    status, document, _ = ask(place, "api", api.token)

    assert (200, "3.0.1") == (status, document["openapi"])


def test_a_file_of_a_checkpoint_is_digested_when_it_is_in_place(api):
    made = api.call("POST", "checkpoints", CHECKPOINT)
    id, url = made["checkpoint"]["id"], made["s3PresignUrl"]["a.safetensors"][0]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data=SAFETENSORS, method="PUT"), timeout=40) as answer:
        tags = {"a.safetensors": [{"ETag": answer.headers["ETag"], "PartNumber": 1}]}
    api.call("PUT", f"checkpoints/{id}", {"status": "Active", "multi_parts_tags": tags})

    def told():
        return api.call("GET", "checkpoints")["checkpoints"][0]["params"].get("sha256")

    assert eventually(told) == {"a.safetensors": hashlib.sha256(SAFETENSORS).hexdigest()}


def digests(cloud, clients):
    """The digests by which the API knows the deployment's own token."""
    found = cloud.client("dynamodb").query(
        TableName=outputs(clients, f"{PREFIX}-middleware-state")["AccountsTableName"],
        KeyConditionExpression="pk = :deployment",
        ExpressionAttributeValues={":deployment": {"S": "DEPLOYMENT"}},
    )
    return {each["sk"]["S"] for each in found["Items"]}


def test_another_value_of_the_secret_is_the_deployments_token_soon(cloud, clients, place):
    fresh = "f" * 40

    clients.secretsmanager.put_secret_value(SecretId=place.secret_arn, SecretString=fresh)

    # asked before it is known, the gateway would remember for a minute that it opens nothing
    assert eventually(lambda: digests(cloud, clients) == {hashlib.sha256(fresh.encode()).hexdigest()})
    assert 200 == ask(place, "ping", fresh)[0]


def test_a_rotation_makes_another_token_and_the_old_one_opens_nothing(cloud, clients, place):
    before = middleware.connect(clients, PREFIX).token
    function = outputs(clients, f"{PREFIX}-middleware-api")["RotationFunctionArn"]

    clients.secretsmanager.rotate_secret(SecretId=place.secret_arn, RotationLambdaARN=function)

    after = eventually(lambda: (found := middleware.connect(clients, PREFIX).token) != before and found)
    assert after.startswith("atl_")
    assert eventually(lambda: digests(cloud, clients) == {hashlib.sha256(after.encode()).hexdigest()})
    assert 200 == ask(place, "ping", after)[0]


def test_a_secret_is_not_rotated_by_whom_it_did_not_let(clients, place):
    with pytest.raises(ClientError, match="cannot invoke the specified Lambda function"):
        clients.secretsmanager.rotate_secret(
            SecretId=place.secret_arn,
            RotationLambdaARN="arn:aws:lambda:us-east-1:000000000000:function:another",
        )


def test_the_log_tells_who_asked_and_holds_no_token(cloud, clients, place):
    key = cloud.client("secretsmanager").get_secret_value(SecretId=place.secret_arn)["SecretString"]
    made = tokens.create(middleware.connect(clients, PREFIX), "api")
    ask(place, "ping", made.secret)
    group = f"/aws/cloudformation/{PREFIX}-middleware-api/AccessLog"
    events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    lines = [each["message"] for each in events]

    assert {"deployment", "user/api"} <= {json.loads(each)["principal"] for each in lines}
    assert not [each for each in lines if key in each or made.secret in each]


def test_deployed_again_it_does_not_change(clients):
    again = deploy.deploy(
        clients, prefix=PREFIX, parameters={"EndpointImage": "none"}, order=deploy.MIDDLEWARE
    )

    assert {"unchanged"} == {each.change for each in again}


def test_where_there_is_no_middleware_the_way_to_one_is_told(clients):
    with pytest.raises(NotDeployed, match="atelier deploy middleware"):
        middleware.place(clients, "nobodys")


def test_traces_are_refused_by_name(clients):
    with pytest.raises(Exception, match="TracingEnabled is not part of the local cloud"):
        deploy.deploy(
            clients,
            prefix="traced",
            parameters={"EndpointImage": "none", "Tracing": "true"},
            order=deploy.MIDDLEWARE,
        )
