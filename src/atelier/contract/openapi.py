"""The OpenAPI 3.0.1 document of the API, made from the table of operations."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from atelier.contract.api.meta import Debug, Empty, Refusal
from atelier.contract.operations import OPERATIONS, VERSION, Operation, Parameter
from atelier.contract.schema import schema, schema_of

JSON = "application/json"
TITLE = "Atelier"
DESCRIPTION = "Generative image work on Amazon SageMaker, for artists' WebUIs and their scripts."

TAGS: Mapping[str, str] = {
    "Service": "The service itself",
    "Roles": "Names for sets of permissions",
    "Users": "Who acts, and their tokens",
    "Checkpoints": "Models that artists bring along",
    "Endpoints": "Where generation runs",
    "Inferences": "Pieces of generation work",
    "Trainings": "What artists teach a model from their own pictures",
    "Merges": "Checkpoints made of others",
    "Datasets": "Pictures with their captions, from which models are trained",
}

ANYWHERE = {
    "url": "https://{apiId}.execute-api.{region}.amazonaws.com/prod",
    "variables": {"apiId": {"default": "api-id"}, "region": {"default": "us-east-1"}},
}
"""Where an API is that nobody has deployed yet."""

MEANINGS: Mapping[int, str] = {200: "Done", 201: "Made", 202: "Begun", 204: "Gone"}

REFUSALS: Mapping[int, tuple[str, str]] = {
    400: ("BadRequest", "The request is not what it should be, or the state of things does not allow it"),
    401: ("Unauthorized", "Nobody knows the acting user"),
    403: ("Forbidden", "The token is not valid, or the acting user lacks the permission"),
    404: ("NotFound", "It is not there"),
    413: ("TooLarge", "The body is too large"),
    429: ("TooManyRequests", "Too many requests; the same later may succeed"),
    500: ("Failed", "Something went wrong here; the request's id names it in the logs"),
    503: ("Unavailable", "Not now; the same later may succeed"),
    504: ("TooLate", "It took too long"),
}
"""The name of each refusal's schema, and what it means."""

SEGMENT: Mapping[str, Any] = {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}
"""What a path's parameter may be: API Gateway takes even an encoded slash for one, and finds no such path."""


def document(url: str | None = None) -> dict[str, Any]:
    """Return the document of the API at *url*."""
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS.values():
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.0.1",
        "info": {"title": TITLE, "description": DESCRIPTION, "version": VERSION},
        "servers": [{"url": url} if url else ANYWHERE],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": {"token": _scheme()}},
    }


def _scheme() -> dict[str, Any]:
    about = "The deployment's own token, or a user's."
    return {"type": "apiKey", "name": "x-api-key", "in": "header", "description": about}


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": _permissions(operation),
        "tags": [operation.tag],
        "responses": {str(each): _response(operation, each) for each in operation.statuses},
    }
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {"required": True, "content": _content(operation.body.__name__)}
    return described


def _permissions(operation: Operation) -> str:
    if not operation.permissions:
        return "Needs a valid token."
    return f"Needs one of the permissions {', '.join(operation.permissions)}."


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    found: list[dict[str, Any]] = [
        {"name": each, "in": "path", "required": True, "schema": SEGMENT} for each in names
    ]
    found += [_query(each) for each in operation.query]
    if operation.acts_as_user:
        about = "The acting user, for the deployment's own token; a user's token needs no name."
        found.append({"name": "username", "in": "header", "description": about, "schema": {"type": "string"}})
    return found


def _query(parameter: Parameter) -> dict[str, Any]:
    described = schema_of(parameter.type)
    about = described.pop("description", None)
    if parameter.repeated:
        described = {"type": "array", "items": described, "maxItems": 100}
    elif parameter.default is not None:
        described["default"] = parameter.default
    named: dict[str, Any] = {"name": parameter.name, "in": "query", "schema": described}
    return {**named, "description": about} if about else named


def _response(operation: Operation, status: int) -> dict[str, Any]:
    texts = {"schema": {"type": "string"}}
    return {
        "description": MEANINGS.get(status) or REFUSALS[status][1],
        "headers": {"Access-Control-Allow-Origin": texts, "x-api-version": texts},
        "content": _content(_answer(operation, status)),
    }


def _content(name: str) -> dict[str, Any]:
    return {JSON: {"schema": _reference(name)}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(operation: Operation, status: int) -> str:
    """Return the name of the schema of an answer."""
    if status in REFUSALS:
        return REFUSALS[status][0]
    if status == HTTPStatus.NO_CONTENT:
        return Empty.__name__
    return f"{operation.id}Response{status if len(operation.responses) > 1 else ''}"


def _schemas() -> dict[str, Any]:
    """Return every schema by its name."""
    found: dict[str, Any] = {each.__name__: schema(each, closed=True) for each in (Debug, Empty)}
    for each in OPERATIONS.values():
        if each.body:
            found[each.body.__name__] = schema(each.body)
        for status in each.statuses:
            name = _answer(each, status)
            if name not in found:
                found[name] = _envelope(each, status) if status in each.responses else _told(status)
    return dict(sorted(found.items()))


def _envelope(operation: Operation, status: int) -> dict[str, Any]:
    kind = operation.responses[status]
    data = schema(kind, closed=True) if kind else {}
    if operation.raw:
        return data
    around = {
        "statusCode": {"type": "integer", "enum": [status]},
        "debug": _reference(Debug.__name__),
        **({"data": data} if data else {}),
        "message": {"type": "string"},
    }
    return {
        "type": "object",
        "properties": around,
        "required": [name for name in around if name != "data" or not operation.may_lack_data],
        "additionalProperties": False,
    }


def _told(status: int) -> dict[str, Any]:
    """Return what a refusal looks like, ours or API Gateway's own."""
    described = schema(Refusal, closed=True)
    described["description"] = REFUSALS[status][1]
    described["properties"]["statusCode"]["enum"] = [status]
    described["properties"]["debug"] = _reference(Debug.__name__)
    return described


def rendered() -> str:
    """Return the document of an API that nobody has deployed yet, as the file that people read."""
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())
