"""The served document, taken at its word by schemathesis: no server error, every answer as declared."""

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from atelier.contract import openapi


def is_as_described(ctx, response, case):
    """Hold a body to its schema; 204 has a schema too, for clients that ask for one, and no body."""
    if response.status_code == 204:
        assert b"" == response.content
        return None
    return response_schema_conformance(ctx, response, case)


CHECKS = [not_a_server_error, status_code_conformance, is_as_described]
TIMEOUT = 60

schema = schemathesis.openapi.from_dict(openapi.document())


def test_the_document_that_is_served_is_the_one_that_is_tried(studio):
    assert openapi.document()["paths"] == studio.document["paths"]
    assert openapi.document()["components"] == studio.document["components"]


@schema.parametrize()
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_asked_the_answer_is_as_declared(case, studio):
    case.headers = {**(case.headers or {}), "x-api-key": studio.token, "username": "api"}

    case.call_and_validate(base_url=studio.url.rstrip("/"), checks=CHECKS, timeout=TIMEOUT)
