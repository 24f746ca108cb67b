"""Who may do what: every operation with every kind of token there is."""

import uuid

import pytest
import studio as shop

from atelier.contract.operations import OPERATIONS

UNKNOWN = "11111111-1111-4111-8111-111111111111"
CHECKPOINT = {"checkpoint_type": "VAE", "filenames": [{"filename": "never.safetensors"}]}
ENDPOINT = {
    "endpoint_type": "Async",
    "instance_type": "ml.g4dn.xlarge",
    "initial_instance_count": 1,
    "autoscaling_enabled": False,
    "assign_to_roles": ["nobodys"],
}
TRAINING = {
    "lora_train_type": "kohya",
    "params": {
        "training_params": {
            "training_instance_type": "ml.g4dn.xlarge",
            "model": "nobodys",
            "dataset": "nobodys",
            "fm_type": "sd_1_5",
        },
        "config_params": {"output_name": "never"},
    },
}
DATASET = {
    "dataset_name": "never",
    "content": [{"filename": "a.png", "name": "a.png", "type": "image", "params": {}}],
    "creator": "nobody",
    "prefix": "",
}
BODIES = {
    "CreateRole": {"role_name": "forbidden", "permissions": ["role:all"]},
    "DeleteRoles": {"role_name_list": ["nobodys"]},
    "CreateUser": {"username": "forbidden", "roles": ["nobodys"]},
    "DeleteUsers": {"user_name_list": ["nobody"]},
    "CreateToken": {},
    "CreateCheckpoint": CHECKPOINT,
    "UpdateCheckpoint": {"name": "forbidden"},
    "DeleteCheckpoints": {"checkpoint_id_list": [UNKNOWN]},
    "CreateEndpoint": ENDPOINT,
    "DeleteEndpoints": {"endpoint_name_list": ["nobodys"]},
    "CreateInferenceJob": {"task_type": "txt2img", "inference_type": "Async", "models": {}},
    "DeleteInferenceJobs": {"inference_id_list": [UNKNOWN]},
    "CreateTraining": TRAINING,
    "DeleteTrainings": {"training_id_list": [UNKNOWN]},
    "MergeCheckpoints": {"method": "no_interpolation", "checkpoints": ["nobodys"], "output_name": "never"},
    "DeleteMerges": {"merge_id_list": [UNKNOWN]},
    "CreateDataset": DATASET,
    "UpdateDataset": {"status": "Enabled"},
    "CropDataset": {"max_resolution": "512x512"},
    "DeleteDatasets": {"dataset_name_list": ["nobodys"]},
}
"""For each operation that takes one, a body that is as it should be and changes nothing."""

AT = {"username": "api", "id": UNKNOWN}
EVERY = list(OPERATIONS)
ACTING = [each.id for each in OPERATIONS.values() if each.acts_as_user]
NAMED = [each.id for each in OPERATIONS.values() if each.acts_as_user and not each.key_only]
GUARDED = [each.id for each in OPERATIONS.values() if each.permissions]


@pytest.fixture(scope="module")
def ann(studio):
    """The token of a user who may do nothing that these operations need."""
    return studio.user(f"ann{uuid.uuid4().hex[:6]}", "train:list")


def ask(studio, operation, **more):
    return studio.ask(operation, BODIES.get(operation), at=AT, **more)


def is_forbidden(answer):
    told = answer.json()
    return (403, {"message", "requestId"}, "Forbidden") == (
        answer.status_code,
        told.keys(),
        told.get("message"),
    )


@pytest.mark.parametrize("operation", EVERY)
def test_without_a_token_nothing_is_answered(studio, operation):
    assert is_forbidden(ask(studio, operation, token=None))


@pytest.mark.parametrize("operation", EVERY)
@pytest.mark.parametrize("token", ["x", "x" * 300, "a' OR '1'='1", "*", "TOKEN#x"])
def test_a_wrong_token_opens_nothing(studio, operation, token):
    assert is_forbidden(ask(studio, operation, token=token))


def test_what_is_almost_the_token_opens_nothing(studio):
    for token in (studio.token[:-1], studio.token + "x", studio.token.swapcase(), studio.token[::-1]):
        assert is_forbidden(ask(studio, "Ping", token=token))


def test_a_wrong_token_learns_nothing_of_the_routes(studio):
    assert is_forbidden(ask(studio, "ListUsers", token="wrong", headers={"authorization": "Bearer x"}))


@pytest.mark.parametrize("operation", NAMED)
@pytest.mark.parametrize("username", [None, "nobody", "api\u00e9".encode().hex(), "a" * 500])
def test_the_deployments_token_needs_a_user_that_there_is(studio, operation, username):
    answer = ask(studio, operation, username=username)

    assert (401, "Unauthorized") == (answer.status_code, answer.json()["message"])


@pytest.mark.parametrize("operation", ACTING)
def test_nobody_acts_as_another_user_by_the_token_of_ann(studio, ann, operation):
    assert 403 == ask(studio, operation, token=ann, username="api").status_code


@pytest.mark.parametrize("operation", GUARDED)
def test_who_lacks_the_permission_is_told_which(studio, ann, operation):
    answer = ask(studio, operation, token=ann, username=None)

    wanted = list(OPERATIONS[operation].permissions)
    assert 403 == answer.status_code
    assert answer.json()["message"].endswith(f"has no permissions: {wanted}")


@pytest.mark.parametrize("operation", ["CreateToken", "ListTokens", "DeleteToken"])
def test_the_tokens_of_others_are_theirs(studio, ann, operation):
    assert 403 == ask(studio, operation, token=ann, username=None).status_code


def test_a_users_token_acts_as_that_user_without_a_name(studio):
    token = studio.user("olga", "user:list")

    assert 200 == studio.ask("ListUsers", token=token, username=None).status_code
    assert 200 == studio.ask("ListUsers", token=token, username="olga").status_code


def test_the_deployments_token_acts_for_anyone_with_what_they_may(studio):
    studio.user("paul", "user:list")

    assert 200 == studio.ask("ListUsers", username="paul").status_code
    assert 403 == studio.ask("ListRoles", username="paul").status_code


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_name_may_come_in_the_old_form(studio, scheme):
    old = {"authorization": f"{scheme} {b'api'.hex()}"}

    assert 200 == studio.ask("ListUsers", username=None, headers=old).status_code


@pytest.mark.parametrize(
    "bearer", ["Bearer zz", "Bearer ff", "Bearer", "Basic YXBp", "Bearer " + b"nobody".hex()]
)
def test_an_old_form_of_nobody_is_unauthorized(studio, bearer):
    assert 401 == studio.ask("ListUsers", username=None, headers={"authorization": bearer}).status_code


def test_a_token_revoked_before_its_first_use_opens_nothing(studio):
    made = studio.data("CreateToken", {}, at={"username": "api"})

    studio.data("DeleteToken", at={"username": "api", "id": made["token"]["id"]})

    assert is_forbidden(studio.ask("Ping", token=made["secret"], username=None))


def test_a_token_in_use_is_shut_out_within_a_minute(studio):
    made = studio.data("CreateToken", {}, at={"username": "api"})
    assert 200 == studio.ask("Ping", token=made["secret"], username=None).status_code

    studio.data("DeleteToken", at={"username": "api", "id": made["token"]["id"]})

    shop.until(lambda: is_forbidden(studio.ask("Ping", token=made["secret"], username=None)), seconds=65)


def test_the_tokens_of_a_deleted_user_act_for_nobody(studio):
    token = studio.user("gone", "user:list")
    assert 200 == studio.ask("ListUsers", token=token, username=None).status_code

    studio.data("DeleteUsers", {"user_name_list": ["gone"]})

    assert studio.ask("ListUsers", token=token, username=None).status_code in {401, 403}


def test_a_permission_that_is_taken_is_gone_at_once(studio):
    token = studio.user("quentin", "user:list")
    assert 200 == studio.ask("ListUsers", token=token, username=None).status_code

    studio.data("CreateRole", {"role_name": "quentin", "permissions": ["role:list"]})

    assert 403 == studio.ask("ListUsers", token=token, username=None).status_code


def test_nobody_grants_what_they_do_not_hold(studio):
    token = studio.user("rita", "user:all", "role:all")
    more = {"role_name": "more", "permissions": ["checkpoint:all"]}

    for operation, body in (
        ("CreateRole", more),
        ("CreateUser", {"username": "rita", "roles": ["IT Operator"]}),
        ("CreateUser", {"username": "sock", "roles": ["IT Operator"]}),
    ):
        assert studio.ask(operation, body, token=token, username=None).status_code in {400, 403}


def test_initial_needs_the_deployments_own_token(studio):
    token = studio.user("ursula", "user:all", "role:all")
    body = {"username": "ursula", "roles": ["IT Operator"], "initial": True}

    assert 403 == studio.ask("CreateUser", body, token=token, username=None).status_code


def test_passwords_are_masked_and_secrets_are_shown_once(studio):
    studio.data("CreateUser", {"username": "vera", "roles": ["byoc"], "password": "open sesame"})
    secret = studio.data("CreateToken", {}, at={"username": "vera"})["secret"]

    shown = studio.ask("ListUsers", query={"username": "vera", "show_password": "True"}).text
    shown += studio.ask("ListTokens", at={"username": "vera"}).text

    assert "open sesame" not in shown
    assert secret not in shown


def test_jobs_of_others_are_not_there(studio, ann):
    assert [] == studio.data("ListInferences", token=ann, username=None)["inferences"]
    assert (
        403 == studio.ask("ListInferences", token=ann, username=None, query={"username": "api"}).status_code
    )
