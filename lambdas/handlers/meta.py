"""The service itself: that it is there, and what it can do."""

from __future__ import annotations

import json
from functools import cache

from atelier.lambdas.handlers.http import Answer, Api, Call

api = Api()
handle = api.handle


@api.operation("RootAPI")
def root(call: Call) -> Answer:
    """Say that the API is there."""
    return Answer(200)


@api.operation("Ping")
def ping(call: Call) -> Answer:
    """Answer."""
    return Answer(200, message="pong")


@api.operation("GetApiOAS")
def describe(call: Call) -> Answer:
    """Describe the API of this deployment."""
    return Answer(200, _document(call.url))


@cache
def _document(url: str) -> str:
    from atelier.contract import openapi  # knows every body: no other call needs them

    return json.dumps(openapi.document(url))
