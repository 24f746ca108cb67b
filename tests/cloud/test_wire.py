"""The wire layer: every call is checked against botocore's service model."""

import json
from datetime import UTC, datetime

import pytest
from fakes import FakeIdentity, fake_cloud

from atelier.cloud.services.wire import Service, ServiceError, everything


@pytest.fixture
def cloud(tmp_path):
    cloud = fake_cloud(tmp_path)
    yield cloud
    cloud.store.close()


@pytest.fixture
def service():
    service = Service("codecommit", actions="codecommit")

    @service.operation("GetRepository", on=everything)
    def get_repository(cloud, request):
        return {
            "repositoryMetadata": {
                "repositoryName": request["repositoryName"],
                "creationDate": datetime(2026, 1, 1, tzinfo=UTC),
                "Arn": None,
            }
        }

    return service


def test_a_response_has_times_as_seconds_and_no_nulls(cloud, service):
    status, _, body = service.answer(cloud, "GetRepository", b'{"repositoryName": "atelier"}')

    assert 200 == status
    expected = {"repositoryMetadata": {"repositoryName": "atelier", "creationDate": 1767225600.0}}
    assert expected == json.loads(body)


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({}, "Missing required parameter"),
        ({"repositoryName": 7}, "Invalid type"),
        ({"repositoryName": "a", "colour": "red"}, "Unknown parameter"),
        ({"repositoryName": "not a name!"}, "does not match"),
        ({"repositoryName": "a" * 101}, "at most 100"),
    ],
)
def test_a_request_outside_the_model_is_refused(cloud, service, request_, problem):
    with pytest.raises(ServiceError, match=problem):
        service.call(cloud, "GetRepository", request_)


def test_an_operation_that_is_not_built_is_refused_by_name(cloud, service):
    with pytest.raises(ServiceError, match="MergePullRequestBySquash is not part of the local cloud"):
        service.call(cloud, "MergePullRequestBySquash", {})


def test_a_caller_without_permission_is_refused(tmp_path, service):
    denied = fake_cloud(tmp_path, identity=FakeIdentity(denied={"codecommit:GetRepository"}))

    with pytest.raises(ServiceError, match="not authorized to perform: codecommit:GetRepository"):
        service.call(denied, "GetRepository", {"repositoryName": "atelier"})
    denied.store.close()


def test_an_unexpected_error_does_not_leak_its_text(cloud, service):
    @service.operation("DeleteRepository", on=everything)
    def delete_repository(cloud, request):
        raise RuntimeError("secret detail")

    status, _, body = service.answer(cloud, "DeleteRepository", b'{"repositoryName": "atelier"}')

    assert 500 == status
    assert b"secret" not in body
