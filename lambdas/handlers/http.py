"""HTTP around the middleware's operations: what is read before, and said after, each of them.

A module of one family's handlers makes an Api of its own and registers a function for each operation; the
table of operations gives route, permissions, bodies and statuses. Here alone our errors become HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types

from atelier.contract import documents
from atelier.contract.operations import OPERATIONS, VERSION, Operation
from atelier.contract.refusals import CORS
from atelier.contract.schema import dump
from atelier.contract.values import Value
from atelier.lambdas.domain.accounts import Caller, Principal, User
from atelier.lambdas.errors import (
    Busy,
    Conflict,
    Failed,
    Invalid,
    NotFound,
    Refused,
    Throttled,
    TimedOut,
    TooLarge,
    Unauthenticated,
)
from atelier.lambdas.handlers import bodies, links
from atelier.lambdas.handlers.bodies import InvalidRequest

logger = Logger()

STATUS: Mapping[type[Exception], HTTPStatus] = {
    documents.Invalid: HTTPStatus.BAD_REQUEST,
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    Invalid: HTTPStatus.BAD_REQUEST,
    Conflict: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Refused: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Throttled: HTTPStatus.TOO_MANY_REQUESTS,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    TimedOut: HTTPStatus.GATEWAY_TIMEOUT,
    Failed: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The one place where our errors become HTTP; to the clients of this API a conflict is a bad request."""

HEADERS: Mapping[str, str] = {"x-api-version": VERSION, "Cache-Control": "no-store", **CORS}
RETRY_AFTER = "1"
AGAIN = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
UNAUTHORIZED = "Unauthorized"
NO_CONTENT = HTTPStatus.NO_CONTENT
NOBODY = Caller(user=User(name="", creator=""), deployment=True)
"""Who asks what needs no acting user."""


class Callers(Protocol):
    """Who stands behind a token."""

    def caller(self, principal: Principal, username: str | None) -> Caller:
        """Return who acts: raise Unauthenticated for nobody, Refused for a name that is not the token's."""
        ...


class Call(Value):
    """A request that may be answered: *body* is the operation's dataclass, *query* holds its defaults too."""

    operation: Operation
    body: Any
    query: Mapping[str, Any]
    path: Mapping[str, str]
    caller: Caller
    request_id: str
    url: str
    """Where the API is, as this request found it."""


@dataclass(frozen=True)
class Answer:
    """What an operation says: *data* is an instance of the class that the table names for the status.

    Where the answer is raw it is that as JSON text, which the function may keep ready.
    """

    status: int
    data: Any = None
    message: str = "OK"


Function = Callable[[Call], Answer]


class Api:
    """The operations of one family of functions; *callers* is called when a request comes, not at import."""

    def __init__(self, callers: Callable[[], Callers] | None = None) -> None:
        self._callers = callers
        self._app = APIGatewayRestResolver()
        self._app.exception_handler(list(STATUS))(self._refuse)
        self._app.exception_handler(Exception)(self._fail)
        self._app.not_found(self._not_found)
        self.handle: Callable[[dict[str, Any], Any], dict[str, Any]] = logger.inject_lambda_context(
            self._resolve, clear_state=True
        )

    def operation(self, name: str) -> Callable[[Function], Function]:
        """Register a function for an operation of the table."""
        operation = OPERATIONS[name]
        if operation.acts_as_user and self._callers is None:
            raise TypeError(f"{name} acts as a user: its Api needs callers")

        def register(function: Function) -> Function:
            def answer(**_: str) -> Response[str]:
                return self._reply(operation, function(self._call(operation)))

            self._app.route(operation.path.replace("{", "<").replace("}", ">"), operation.method)(answer)
            return function

        return register

    def _resolve(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(request_id=_request_id(event), method=event["httpMethod"], path=event["resource"])
        # API Gateway has found the route: what stands in a path's parameters must not change it
        result: dict[str, Any] = self._app.resolve({**event, "path": event["resource"]}, context)
        logger.info("answered", extra={"status": result["statusCode"]})
        return result

    def _call(self, operation: Operation) -> Call:
        """Read a request in the order of API Gateway: what is asked, then who asks, then whether they may."""
        event = self._event
        logger.append_keys(operation=operation.id)
        body, query = bodies.body(operation, event), bodies.query(operation, event)
        caller = self._caller(operation, body)
        return Call(
            operation=operation,
            body=body,
            query=query,
            path={name: unquote(each) for name, each in (event.get("pathParameters") or {}).items()},
            caller=caller,
            request_id=_request_id(event),
            url=links.api(event),
        )

    def _caller(self, operation: Operation, body: Any) -> Caller:
        """Return who acts, when that one may."""
        principal = Principal.of(self._event["requestContext"].get("authorizer") or {})
        if principal is None:
            raise Unauthenticated("the request came without the authorizer's word")
        logger.append_keys(principal=principal.kind, token=principal.token)
        is_lifted = bool(operation.lifted_by and getattr(body, operation.lifted_by))
        if is_lifted and principal.kind != "deployment":
            raise Refused(f"{operation.lifted_by} needs the deployment's own token")
        if is_lifted or not operation.acts_as_user or (operation.key_only and principal.kind == "deployment"):
            return replace(NOBODY, deployment=principal.kind == "deployment")
        assert self._callers is not None  # no such operation is registered without
        caller = self._callers().caller(principal, acting_name(self._event))
        logger.append_keys(user=caller.name)
        if not caller.may(*operation.permissions):
            raise Refused(f"User {caller.name} has no permissions: {list(operation.permissions)}")
        return caller

    @property
    def _event(self) -> dict[str, Any]:
        return self._app.current_event.raw_event

    def _reply(self, operation: Operation, answer: Answer) -> Response[str]:
        _check(operation, answer)
        if answer.status == NO_CONTENT:
            return Response(answer.status, body="", headers=dict(HEADERS))
        if operation.raw:
            return _response(answer.status, answer.data)
        data = None if answer.data is None else dump(answer.data)
        told = {} if data is None else {"data": data}
        return self._envelope(answer.status, answer.message, **told)

    def _envelope(self, status: int, message: str, **more: Any) -> Response[str]:
        debug = dump(links.debug(self._event, self._app.lambda_context))
        document = {"statusCode": status, "debug": debug, **more, "message": message}
        return _response(status, json.dumps(document))

    def _refuse(self, error: Exception) -> Response[str]:
        """Answer with the status that this error stands for."""
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        logger.warning("refused", extra={"status": int(status), "kind": type(error).__name__})
        if isinstance(error, InvalidRequest):
            return self._bare(status, str(error))
        return self._envelope(status, UNAUTHORIZED if status == HTTPStatus.UNAUTHORIZED else str(error))

    def _fail(self, error: Exception) -> Response[str]:
        """Answer an unexpected error with nothing of its text."""
        logger.exception("unexpected error")
        return self._bare(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")

    def _not_found(self, error: Exception) -> Response[str]:
        return self._envelope(HTTPStatus.NOT_FOUND, "Not Found")

    def _bare(self, status: int, message: str) -> Response[str]:
        told = {"statusCode": status, "message": message, "requestId": _request_id(self._event)}
        return _response(status, json.dumps(told))


def _check(operation: Operation, answer: Answer) -> None:
    """Hold a function to the table: what it does not name, clients cannot read."""
    if answer.status not in operation.answers:
        raise ValueError(f"{operation.id} answers {answer.status}, which the table does not name")
    kind = str if operation.raw else operation.responses[answer.status]
    if answer.data is None and (kind is None or operation.may_lack_data or answer.status == NO_CONTENT):
        return
    if kind is None or not isinstance(answer.data, kind):
        raise TypeError(f"{operation.id} answers {answer.status} with {type(answer.data).__name__}")


def acting_name(event: Mapping[str, Any]) -> str | None:
    """Return the name that a request acts for: its own header, or base16 after Bearer, as old clients do."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if name := headers.get("username"):
        return str(name)
    scheme, _, code = str(headers.get("authorization") or "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    try:
        return bytes.fromhex(code.strip()).decode() or None
    except ValueError as error:
        raise Unauthenticated("the bearer's name is not base16") from error


def _request_id(event: Mapping[str, Any]) -> str:
    return str(event["requestContext"].get("requestId") or "")


def _response(status: int, text: str) -> Response[str]:
    patience = {"Retry-After": RETRY_AFTER} if status in AGAIN else {}
    return Response(int(status), content_types.APPLICATION_JSON, text, headers={**HEADERS, **patience})
