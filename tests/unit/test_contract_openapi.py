from __future__ import annotations

import json
from pathlib import Path

from openapi_spec_validator import validate

from atelier.contract import openapi
from atelier.contract.operations import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
URL = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod"


def described() -> dict[str, dict]:
    paths = openapi.document(URL)["paths"]
    return {each["operationId"]: each for methods in paths.values() for each in methods.values()}


def test_the_document_is_valid():
    validate(openapi.document(URL))
    validate(openapi.document())


def test_the_document_says_its_version_and_place():
    document = openapi.document(URL)

    assert "3.0.1" == document["openapi"]
    assert [{"url": URL}] == document["servers"]


def test_the_document_in_the_repository_is_this_one():
    # after a change of the contract: python -m atelier.contract.openapi > docs/openapi.json
    assert openapi.rendered() == (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")


def test_every_operation_is_there_with_every_status_it_answers():
    assert {each.id: {str(status) for status in each.statuses} for each in OPERATIONS.values()} == {
        name: set(each["responses"]) for name, each in described().items()
    }


def test_every_response_refers_to_a_schema_that_is_there():
    schemas = openapi.document(URL)["components"]["schemas"]
    references = {
        response["content"]["application/json"]["schema"]["$ref"]
        for operation in described().values()
        for response in operation["responses"].values()
    }

    assert set() == {each.removeprefix("#/components/schemas/") for each in references} - schemas.keys()


def test_no_schema_is_there_for_nothing():
    text = json.dumps(openapi.document(URL))

    assert [] == [
        each
        for each in openapi.document(URL)["components"]["schemas"]
        if f'"#/components/schemas/{each}"' not in text
    ]


def test_bodies_are_referred_to_and_required():
    expected = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CreateRoleRequest"}}},
    }

    assert expected == described()["CreateRole"]["requestBody"]
    assert "requestBody" not in described()["ListRoles"]


def test_who_acts_is_named_in_a_header_that_may_be_left_out():
    headers = [each for each in described()["ListRoles"]["parameters"] if each["in"] == "header"]

    assert [("username", False)] == [(each["name"], each.get("required", False)) for each in headers]
    assert "parameters" not in described()["Ping"]


def test_repeated_parameters_are_arrays():
    listed = described()["ListCheckpoints"]["parameters"]
    parameters = {each["name"]: each["schema"] for each in listed}

    assert "array" == parameters["types"]["type"]
    assert {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10} == parameters["per_page"]
    assert "at most 200" in next(each["description"] for each in listed if each["name"] == "per_page")


def test_data_that_is_not_always_there_is_not_required():
    schemas = openapi.document(URL)["components"]["schemas"]

    assert "data" not in schemas["CreateUserResponse"]["required"]
    assert "data" in schemas["CreateTokenResponse"]["required"]
    assert "data" not in schemas["CreateRoleResponse"]["properties"]
