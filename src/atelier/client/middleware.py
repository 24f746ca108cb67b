"""The middleware's REST API: where it is, the deployment's own token, and calls with it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atelier.client.completions import opener
from atelier.client.errors import NotDeployed, Problem, Refusal
from atelier.client.outputs import PREFIX, outputs

if TYPE_CHECKING:
    from atelier.client.session import Clients

STACK = "middleware-api"
TIMEOUT = 40.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the middleware of an installation is."""

    url: str
    bucket: str
    secret_arn: str

    def document(self) -> dict[str, str]:
        """Return what programs are told."""
        return {"ApiUrl": self.url, "Bucket": self.bucket, "DeploymentTokenSecretArn": self.secret_arn}


def place(clients: Clients, prefix: str = PREFIX) -> Place:
    """Find the middleware; raise NotDeployed before it is there."""
    try:
        found = outputs(clients, f"{prefix}-{STACK}")
        return Place(
            url=_url(clients, found), bucket=found["Bucket"], secret_arn=found["DeploymentTokenSecretArn"]
        )
    except (KeyError, NotDeployed) as error:
        raise NotDeployed(
            f"there is no middleware {prefix} in {clients.where}: run `atelier deploy middleware`"
        ) from error


def _url(clients: Clients, found: Mapping[str, str]) -> str:
    """Return where the API answers: at its own address, or below the local cloud's."""
    if clients.endpoint is None:
        return found["ApiUrl"]
    return f"{clients.endpoint}/_aws/execute-api/{found['ApiId']}/{found['ApiStage']}/"


@dataclass(frozen=True, kw_only=True)
class Api:
    """The API with the deployment's own token, which stays out of every text, acting for a user."""

    url: str
    token: str = field(repr=False)
    username: str = "api"

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the data of an answer; raise Refusal with the API's own words."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "x-api-key": self.token,
                "username": self.username,
            },
            method=method,
        )
        try:
            with opener(self.url).open(request, timeout=TIMEOUT) as answer:
                document = json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                raise Refusal(_words(error.code, error.read())) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise Problem(f"{self.url} cannot be reached: {reason}. Is the local cloud up?") from error
        except ValueError as error:
            raise Problem(f"{self.url} answered with something that is not JSON") from error
        return document.get("data")


def connect(clients: Clients, prefix: str = PREFIX, *, username: str = "api") -> Api:
    """Return the API of an installation, opened by the deployment's own token."""
    found = place(clients, prefix)
    secret = clients.secretsmanager.get_secret_value(SecretId=found.secret_arn)["SecretString"]
    return Api(url=found.url, token=secret, username=username)


def _words(status: int, body: bytes) -> str:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = "it gave no reason"
    return f"the API answered {status}: {message}"
