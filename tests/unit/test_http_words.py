"""A body that is not what the contract says is refused in API Gateway's own words."""

from __future__ import annotations

import base64
import json

import pytest

from atelier.contract.operations import OPERATIONS
from atelier.lambdas.errors import TooLarge
from atelier.lambdas.handlers import bodies
from atelier.lambdas.handlers.bodies import InvalidRequest

ROLE = {"role_name": "painter", "permissions": ["checkpoint:all"]}
ENDPOINT = {
    "endpoint_type": "Async",
    "instance_type": "ml.g5.2xlarge",
    "initial_instance_count": 1,
    "autoscaling_enabled": True,
    "assign_to_roles": ["byoc"],
}


def refused(operation: str, body: object) -> str:
    return refused_text(operation, json.dumps(body))


def refused_text(operation: str, body: str | None, **more: object) -> str:
    with pytest.raises(InvalidRequest) as caught:
        bodies.body(OPERATIONS[operation], {"body": body, **more})
    return str(caught.value)


def test_a_missing_property_is_named():
    assert '[object has missing required properties (["role_name"])]' == refused(
        "CreateRole", {"permissions": ["a"]}
    )


def test_all_missing_properties_are_named_in_order():
    assert '[object has missing required properties (["permissions","role_name"])]' == refused(
        "CreateRole", {}
    )


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_body_is_an_empty_object(nothing):
    assert '[object has missing required properties (["username"])]' == refused_text("CreateUser", nothing)


def test_a_text_that_is_too_short_or_too_long():
    assert '[string "" is too short (length: 0, required minimum: 1)]' == refused(
        "CreateRole", {**ROLE, "role_name": ""}
    )
    assert f'[string "{"a" * 21}" is too long (length: 21, maximum allowed: 20)]' == refused(
        "UpdateCheckpoint", {"name": "a" * 21}
    )


def test_a_text_that_does_not_match():
    assert '[ECMA 262 regex "^[A-Za-z][A-Za-z0-9_-]*$" does not match input string "1st"]' == refused(
        "UpdateCheckpoint", {"name": "1st"}
    )


def test_a_line_end_does_not_slip_past_a_pattern():
    assert "does not match input string" in refused("UpdateCheckpoint", {"name": "first\n"})


@pytest.mark.parametrize(
    ("value", "kind"),
    [(7, "integer"), (7.5, "number"), (True, "boolean"), (None, "null"), ([], "array"), ({}, "object")],
)
def test_another_type_than_a_string(value, kind):
    assert (
        f'[instance type ({kind}) does not match any allowed primitive type (allowed: ["string"])]'
        == refused("CreateRole", {**ROLE, "role_name": value})
    )


@pytest.mark.parametrize("value", ["7", "", "7.0"])
def test_a_text_is_no_number(value):
    file = {"filename": "a.safetensors", "parts_number": value}

    assert (
        '[instance type (string) does not match any allowed primitive type (allowed: ["integer"])]'
        == refused("CreateCheckpoint", {"checkpoint_type": "Lora", "filenames": [file]})
    )


@pytest.mark.parametrize("value", [1.0, True])
def test_a_fraction_or_a_boolean_is_no_integer(value):
    file = {"filename": "a.safetensors", "parts_number": value}

    assert 'any allowed primitive type (allowed: ["integer"])]' in refused(
        "CreateCheckpoint", {"checkpoint_type": "Lora", "filenames": [file]}
    )


@pytest.mark.parametrize("value", ["true", 1, 0, None])
def test_only_a_boolean_is_a_boolean(value):
    assert '(allowed: ["boolean"])]' in refused("CreateEndpoint", {**ENDPOINT, "autoscaling_enabled": value})


def test_a_number_may_be_an_integer():
    assert (
        '[instance type (string) does not match any allowed primitive type (allowed: ["integer","number"])]'
        == refused("CreateEndpoint", {**ENDPOINT, "initial_instance_count": "1"})
    )


def test_a_number_that_is_too_small_too_large_or_not_whole():
    def count(value: float) -> str:
        return refused("CreateEndpoint", {**ENDPOINT, "initial_instance_count": value})

    assert "[numeric instance is lower than the required minimum (minimum: 1, found: 0)]" == count(0)
    assert "[numeric instance is greater than the required maximum (maximum: 1000, found: 1001)]" == count(
        1001
    )
    assert "[remainder of division is not zero (1.5 / 1)]" == count(1.5)


def test_a_value_that_is_not_in_the_enumeration():
    assert '[instance value ("sync") not found in enum (possible values: ["Real-time","Async"])]' == refused(
        "CreateEndpoint", {**ENDPOINT, "endpoint_type": "sync"}
    )


def test_too_few_or_too_many_items():
    assert "[array is too short: must have at least 1 elements but instance has 0 elements]" == refused(
        "DeleteRoles", {"role_name_list": []}
    )
    assert "[array is too long: must have at most 10 elements but instance has 11 elements]" == refused(
        "DeleteEndpoints", {"endpoint_name_list": ["a"] * 11}
    )


def test_too_many_members():
    parts = {f"{number}.safetensors": [] for number in range(21)}

    assert "[object has too many properties (found 21 but schema requires at most 20)]" == refused(
        "UpdateCheckpoint", {"status": "Active", "multi_parts_tags": parts}
    )


def test_a_text_that_is_no_uuid():
    assert '[input string "7" is not a valid UUID]' == refused(
        "DeleteCheckpoints", {"checkpoint_id_list": ["7"]}
    )


def test_every_breach_is_told():
    assert (
        '[object has missing required properties (["permissions"]), '
        'string "" is too short (length: 0, required minimum: 1)]'
    ) == refused("CreateRole", {"role_name": ""})


def test_breaches_deep_inside_are_told():
    parts = {"a.safetensors": [{"ETag": "x", "PartNumber": 0}]}

    assert "[numeric instance is lower than the required minimum (minimum: 1, found: 0)]" == refused(
        "UpdateCheckpoint", {"multi_parts_tags": parts}
    )


def test_no_more_breaches_are_told_than_a_person_reads():
    assert bodies.MOST_BREACHES == refused("DeleteUsers", {"user_name_list": [""] * 100}).count(
        "is too short"
    )


def test_of_a_long_body_the_first_breach_is_told():
    assert "[array is too long: must have at most 100 elements but instance has 60000 elements]" == refused(
        "DeleteUsers", {"user_name_list": [""] * 60_000}
    )


def test_what_a_client_sent_is_said_back_shortened():
    told = refused("CreateRole", {**ROLE, "role_name": "a" * 5000})

    assert "(length: 5000, maximum allowed: 200)" in told
    assert len(told) < 300


@pytest.mark.parametrize(
    ("document", "kind"),
    [("[]", "array"), ('"x"', "string"), ("7", "integer"), ("null", "null"), ("true", "boolean")],
)
def test_a_body_is_an_object(document, kind):
    assert (
        f'[instance type ({kind}) does not match any allowed primitive type (allowed: ["object"])]'
        == refused_text("CreateRole", document)
    )


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{'role_name': 1}",
        '{"role_name": "x",}',
        "role_name=x",
        '{"role_name": NaN}',
        '{"role_name": -Infinity}',
        '{"role_name": 1e999}',
        '{"role_name": ' + "9" * 5000 + "}",
        '{"role_name": "\\ud800"}',
        '{"role_name": "a\nb"}',
        "[" * 100_000,
        '{"a":' * 40_000 + "1" + "}" * 40_000,
        "\ufeff{}",
        "\x00",
    ],
)
def test_what_is_no_json_is_an_invalid_body(text):
    assert "Invalid request body" == refused_text("CreateRole", text)


def test_a_property_that_is_there_twice_is_refused():
    assert "object has the same property more than once" == refused_text(
        "CreateRole", '{"role_name": "a", "role_name": "b", "permissions": ["x"]}'
    )


@pytest.mark.parametrize("sent", [base64.b64encode(b'{"role_name": "\xff"}').decode(), "no base64"])
def test_bytes_that_are_no_text_are_an_invalid_body(sent):
    assert "Invalid request body" == refused_text("CreateRole", sent, isBase64Encoded=True)


def test_a_body_in_base64_is_read():
    sent = base64.b64encode(json.dumps(ROLE).encode()).decode()
    body = bodies.body(OPERATIONS["CreateRole"], {"body": sent, "isBase64Encoded": True})

    assert "painter" == body.role_name


def test_a_body_that_is_too_long_is_not_read():
    too_long = json.dumps({**ROLE, "role_name": "x" * OPERATIONS["CreateRole"].largest_body})

    with pytest.raises(TooLarge):
        bodies.body(OPERATIONS["CreateRole"], {"body": too_long})


def test_whole_characters_written_as_pairs_are_fine():
    body = bodies.body(OPERATIONS["CreateRole"], {"body": json.dumps({**ROLE, "role_name": "🎨"})})

    assert "🎨" == body.role_name


def test_what_is_left_out_has_its_default():
    body = bodies.body(OPERATIONS["CreateEndpoint"], {"body": json.dumps(ENDPOINT)})

    assert ("sd", None) == (body.service_type, body.endpoint_name)


def test_members_that_the_contract_does_not_name_are_tolerated():
    body = bodies.body(
        OPERATIONS["CreateRole"], {"body": json.dumps({**ROLE, "initial": True, "creator": "me"})}
    )

    assert ("checkpoint:all",) == body.permissions


def query(operation: str, **values: list[str]) -> dict[str, object]:
    return bodies.query(OPERATIONS[operation], {"multiValueQueryStringParameters": values})


def test_a_query_has_defaults():
    assert {"limit": 10, "type": "txt2img", "exclusive_start_key": None, "username": None} == query(
        "ListInferences"
    )
    assert {"page": 1, "per_page": 10, "username": None, "status": (), "types": (), "roles": ()} == query(
        "ListCheckpoints"
    )


def test_a_query_is_read():
    found = query("ListCheckpoints", page=["2"], types=["Lora", "VAE"], username=["ada"], unknown=["x"])

    assert (2, ("Lora", "VAE"), "ada") == (found["page"], found["types"], found["username"])
    assert "unknown" not in found


def test_a_query_without_lists_is_read_too():
    event = {"queryStringParameters": {"limit": "7"}, "multiValueQueryStringParameters": None}

    assert 7 == bodies.query(OPERATIONS["ListEndpoints"], event)["limit"]


def test_an_empty_text_in_a_query_is_none():
    assert query("ListEndpoints", username=[""])["username"] is None


@pytest.mark.parametrize("limit", ["", "0", "-1", "1001", "ten", "1.5", "9" * 50, "٣"])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(InvalidRequest, match="query parameter limit"):
        query("ListEndpoints", limit=[limit])


def test_a_parameter_may_not_be_repeated_for_ever():
    with pytest.raises(InvalidRequest, match="types is there too often"):
        query("ListCheckpoints", types=["Lora"] * 101)
