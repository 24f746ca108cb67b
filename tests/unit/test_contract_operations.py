"""The table of operations says what the contract with existing clients says."""

from __future__ import annotations

import pytest

from atelier.contract.operations import OPERATIONS
from atelier.contract.refusals import GATEWAY_REFUSALS
from atelier.contract.schema import schema

# id: route, permissions, what a body must have, every success
CONTRACT = {
    "RootAPI": ("GET /", "", "", "200"),
    "Ping": ("GET /ping", "", "", "200"),
    "GetApiOAS": ("GET /api", "", "", "200"),
    "ListRoles": ("GET /roles", "role:all role:list", "", "200"),
    "CreateRole": ("POST /roles", "role:all role:create", "role_name permissions", "201"),
    "DeleteRoles": ("DELETE /roles", "role:all", "role_name_list", "204"),
    "ListUsers": ("GET /users", "user:all user:list", "", "200"),
    "CreateUser": ("POST /users", "user:all", "username", "201"),
    "DeleteUsers": ("DELETE /users", "user:all", "user_name_list", "204"),
    "CreateToken": ("POST /users/{username}/tokens", "", "", "201"),
    "ListTokens": ("GET /users/{username}/tokens", "", "", "200"),
    "DeleteToken": ("DELETE /users/{username}/tokens/{id}", "", "", "204"),
    "ListCheckpoints": ("GET /checkpoints", "checkpoint:all checkpoint:list", "", "200"),
    "CreateCheckpoint": (
        "POST /checkpoints",
        "checkpoint:all checkpoint:create",
        "checkpoint_type",
        "201 202",
    ),
    "UpdateCheckpoint": ("PUT /checkpoints/{id}", "checkpoint:all checkpoint:create", "", "200 202"),
    "DeleteCheckpoints": ("DELETE /checkpoints", "checkpoint:all", "checkpoint_id_list", "204"),
    "ListEndpoints": ("GET /endpoints", "sagemaker_endpoint:all sagemaker_endpoint:list", "", "200"),
    "CreateEndpoint": (
        "POST /endpoints",
        "sagemaker_endpoint:all sagemaker_endpoint:create",
        "endpoint_type instance_type initial_instance_count autoscaling_enabled assign_to_roles",
        "202",
    ),
    "DeleteEndpoints": ("DELETE /endpoints", "sagemaker_endpoint:all", "endpoint_name_list", "204"),
    "ListInferences": ("GET /inferences", "", "", "200"),
    "CreateInferenceJob": (
        "POST /inferences",
        "inference:all inference:create",
        "task_type inference_type models",
        "200 201 202",
    ),
    "StartInferences": ("PUT /inferences/{id}/start", "inference:all", "", "200 202"),
    "GetInferenceJob": ("GET /inferences/{id}", "", "", "200"),
    "DeleteInferenceJobs": ("DELETE /inferences", "inference:all", "inference_id_list", "204"),
    "CancelInferenceJob": ("DELETE /inferences/{id}/run", "inference:all inference:create", "", "200"),
    "ListTrainings": ("GET /trainings", "train:all", "", "200"),
    "CreateTraining": ("POST /trainings", "train:all", "lora_train_type params", "201"),
    "GetTraining": ("GET /trainings/{id}", "train:all", "", "200"),
    "StopTraining": ("DELETE /trainings/{id}/run", "train:all", "", "200"),
    "DeleteTrainings": ("DELETE /trainings", "train:all", "training_id_list", "204"),
    "ListMerges": ("GET /merges", "checkpoint:all checkpoint:list", "", "200"),
    "MergeCheckpoints": (
        "POST /merges",
        "checkpoint:all checkpoint:create",
        "method checkpoints output_name",
        "202",
    ),
    "GetMerge": ("GET /merges/{id}", "checkpoint:all checkpoint:list", "", "200"),
    "StopMerge": ("DELETE /merges/{id}/run", "checkpoint:all checkpoint:create", "", "200"),
    "DeleteMerges": ("DELETE /merges", "checkpoint:all", "merge_id_list", "204"),
    "ListDatasets": ("GET /datasets", "train:all", "", "200"),
    "CreateDataset": ("POST /datasets", "train:all", "dataset_name content creator prefix", "201"),
    "GetDataset": ("GET /datasets/{id}", "train:all", "", "200"),
    "UpdateDataset": ("PUT /datasets/{id}", "train:all", "status", "200"),
    "CropDataset": ("POST /datasets/{id}/crop", "train:all", "max_resolution", "202"),
    "DeleteDatasets": ("DELETE /datasets", "train:all", "dataset_name_list", "204"),
}

QUERIES = {
    "ListRoles": "role",
    "ListUsers": "username show_password",
    "ListCheckpoints": "page per_page username status types roles",
    "ListEndpoints": "limit exclusive_start_key username endpointDeploymentJobId",
    "ListInferences": "type limit exclusive_start_key username",
    "ListTrainings": "limit exclusive_start_key",
    "ListMerges": "limit exclusive_start_key",
    "ListDatasets": "dataset_status limit exclusive_start_key",
    "GetDataset": "exclusive_start_key",
}


@pytest.mark.parametrize("name", CONTRACT)
def test_an_operation_is_as_the_contract_says(name):
    operation = OPERATIONS[name]
    required = schema(operation.body).get("required", []) if operation.body else []

    assert CONTRACT[name] == (
        f"{operation.method} {operation.path}",
        " ".join(operation.permissions),
        " ".join(required),
        " ".join(str(each) for each in operation.responses),
    )


def test_the_table_holds_the_contracts_operations_and_no_other():
    assert CONTRACT.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_reads_the_contracts_query(name):
    assert QUERIES.get(name, "") == " ".join(each.name for each in OPERATIONS[name].query)


def test_lists_have_ten_entries_unless_asked_otherwise():
    defaults = {
        each.default
        for operation in OPERATIONS.values()
        for each in operation.query
        if each.name in {"limit", "per_page"}
    }

    assert {10} == defaults


def test_only_the_service_itself_acts_for_nobody():
    assert {"RootAPI", "Ping", "GetApiOAS"} == {
        each.id for each in OPERATIONS.values() if not each.acts_as_user
    }
    assert {"ListInferences", "GetInferenceJob"} == {each.id for each in OPERATIONS.values() if each.key_only}


def test_an_operation_declares_what_it_can_refuse():
    statuses = OPERATIONS["CreateEndpoint"].statuses

    assert (202, 400, 401, 403, 404, 413, 429, 500, 503, 504) == statuses


def test_paths_of_one_beginning_are_one_family():
    families = {each.family for each in OPERATIONS.values()}

    assert families == {
        *("meta", "roles", "users", "checkpoints", "endpoints", "inferences"),
        *("trainings", "merges", "datasets"),
    }


def test_a_missing_or_wrong_token_is_forbidden():
    kinds = ("UNAUTHORIZED", "ACCESS_DENIED", "INVALID_API_KEY")

    assert {(403, "Forbidden")} == {
        (GATEWAY_REFUSALS[each].status, GATEWAY_REFUSALS[each].message) for each in kinds
    }
