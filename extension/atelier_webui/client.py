"""The middleware's operations, with the answers as the contract's own classes.

Every method may take seconds and raise a Problem: call none of them where the UI would wait for it. A client
may be used from several threads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from atelier_webui import versions
from atelier_webui.accounts import Account, is_word
from atelier_webui.contract.operations import OPERATIONS
from atelier_webui.contract.schema import build, dump
from atelier_webui.errors import Misunderstood, Refusal
from atelier_webui.transport import Answer, Transport, refusal_of_s3

if TYPE_CHECKING:
    # the classes of the bodies take longer to make than all the rest of the extension: nobody waits for them
    # while a WebUI starts
    from atelier_webui.contract.api.checkpoints import (
        Checkpoint,
        Checkpoints,
        CheckpointType,
        CreatedCheckpoint,
        Part,
        Remarks,
    )
    from atelier_webui.contract.api.endpoints import CreateEndpointRequest, Endpoint, Endpoints
    from atelier_webui.contract.api.inferences import (
        CreatedInference,
        CreateInferenceJobRequest,
        InferenceDetail,
        Inferences,
        NewInference,
    )
    from atelier_webui.contract.api.roles import Roles

PAGE = 100
MOST_PAGES = 100
TRANSFER_SECONDS = 60.0
SEND_SECONDS = 20.0
"""Seconds that a block of what is uploaded may take."""

OVER = frozenset({400, 404})
"""What cancelling a job that is over, or gone, is answered with."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What stands behind a connection."""

    title: str
    version: str


class Client:
    """One account's middleware; close it when it is not needed any more."""

    def __init__(self, account: Account, *, transport: Transport | None = None) -> None:
        self.account = account
        self._transport = transport or Transport(account.url)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def ping(self) -> None:
        """Ask whether the middleware answers and takes the token."""
        self._ask("Ping")

    def check(self) -> Service:
        """Return what answers; raise Incompatible when it speaks another version of the API.

        Raise Refusal, too, when the token is nobody's: describing the API would need no acting user.
        """
        about = self._ask("GetApiOAS").document().get("info")
        if not isinstance(about, dict) or not isinstance(about.get("version"), str):
            raise Misunderstood("the middleware does not say which version of the API it speaks")
        versions.check(about["version"])
        try:
            self._ask("ListEndpoints", query={"limit": 1})
        except Refusal as error:
            if error.status != 403 or "has no permissions" not in str(error):
                raise
        return Service(title=str(about.get("title", "")), version=about["version"])

    def checkpoints(
        self, *, types: Sequence[CheckpointType] = (), statuses: Sequence[str] = ()
    ) -> list[Checkpoint]:
        """List the checkpoints of some types and statuses, or all: every page of them."""
        found: list[Checkpoint] = []
        for number in range(1, MOST_PAGES + 1):
            query = {"page": number, "per_page": PAGE, "types": list(types), "status": list(statuses)}
            page: Checkpoints = self._data("ListCheckpoints", query=query)
            found += page.checkpoints
            if number >= page.pages:
                break
        return found

    def create_checkpoint(
        self, type: CheckpointType, parts: Mapping[str, int], *, message: str = ""
    ) -> CreatedCheckpoint:
        """Begin an upload of files in so many parts each."""
        from atelier_webui.contract.api.checkpoints import CreateCheckpointRequest, File

        files = tuple(File(filename=name, parts_number=count) for name, count in parts.items())
        request = CreateCheckpointRequest(checkpoint_type=type, filenames=files, params=_remarks(message))
        made: CreatedCheckpoint = self._data("CreateCheckpoint", request)
        return made

    def fetch_checkpoint(self, type: CheckpointType, urls: Sequence[str], *, message: str = "") -> None:
        """Have the cloud fetch a checkpoint from URLs; it is listed, and Active when it is there."""
        from atelier_webui.contract.api.checkpoints import CreateCheckpointRequest

        request = CreateCheckpointRequest(checkpoint_type=type, urls=tuple(urls), params=_remarks(message))
        self._ask("CreateCheckpoint", request)

    def complete_checkpoint(self, id: str, parts: Mapping[str, Sequence[Part]]) -> None:
        """End an upload."""
        from atelier_webui.contract.api.checkpoints import UpdateCheckpointRequest

        tags = {name: tuple(each) for name, each in parts.items()}
        request = UpdateCheckpointRequest(status="Active", multi_parts_tags=tags)
        self._ask("UpdateCheckpoint", request, id=id)

    def rename_checkpoint(self, id: str, name: str) -> None:
        """Give a checkpoint another name, without the suffix."""
        from atelier_webui.contract.api.checkpoints import UpdateCheckpointRequest

        self._ask("UpdateCheckpoint", UpdateCheckpointRequest(name=name), id=id)

    def delete_checkpoints(self, ids: Sequence[str]) -> None:
        """Delete checkpoints and their files; unknown ids are fine."""
        from atelier_webui.contract.api.checkpoints import DeleteCheckpointsRequest

        self._ask("DeleteCheckpoints", DeleteCheckpointsRequest(checkpoint_id_list=tuple(ids)))

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints: every page of them."""
        found: list[Endpoint] = []
        start: str | None = None
        for _ in range(MOST_PAGES):
            query = {"limit": PAGE, "exclusive_start_key": start}
            page: Endpoints = self._data("ListEndpoints", query=query)
            found += page.endpoints
            if (start := page.last_evaluated_key) is None:
                break
        return found

    def create_endpoint(self, request: CreateEndpointRequest) -> Endpoint:
        """Begin to make an endpoint."""
        made: Endpoint = self._data("CreateEndpoint", request)
        return made

    def delete_endpoints(self, names: Sequence[str]) -> None:
        """Delete endpoints; unknown names are fine."""
        from atelier_webui.contract.api.endpoints import DeleteEndpointsRequest

        self._ask("DeleteEndpoints", DeleteEndpointsRequest(endpoint_name_list=tuple(names)))

    def roles(self) -> list[str]:
        """List the names of the roles to which an endpoint can be given."""
        page: Roles = self._data("ListRoles")
        return [each.role_name for each in page.roles]

    def inferences(self, task: str, *, limit: int = 20, start: str | None = None) -> Inferences:
        """Return a page of jobs of a task type, the newest first."""
        query = {"type": task, "limit": limit, "exclusive_start_key": start}
        page: Inferences = self._data("ListInferences", query=query)
        return page

    def inference(self, id: str) -> InferenceDetail:
        """Return a job with links to its results."""
        job: InferenceDetail = self._data("GetInferenceJob", id=id)
        return job

    def create_inference(self, request: CreateInferenceJobRequest) -> NewInference:
        """Make a job that waits for its parameters."""
        made: CreatedInference = self._data("CreateInferenceJob", request)
        return made.inference

    def run_inference(self, request: CreateInferenceJobRequest) -> str:
        """Make a job of a request that has its parameters in it; return its id."""
        told = self._ask("CreateInferenceJob", request).document().get("data")
        if not isinstance(told, dict) or not isinstance(told.get("InferenceJobId"), str):
            raise Misunderstood("the middleware did not say which job it made")
        id: str = told["InferenceJobId"]
        return id

    def start_inference(self, id: str) -> None:
        """Start a job whose parameters were put in place."""
        self._ask("StartInferences", id=id)

    def cancel_inference(self, id: str) -> None:
        """Cancel a job; one that is over or gone is fine."""
        try:
            self._ask("CancelInferenceJob", id=id)
        except Refusal as error:
            if error.status not in OVER:
                raise

    def delete_inferences(self, ids: Sequence[str]) -> None:
        """Delete jobs and their files; unknown ids are fine."""
        from atelier_webui.contract.api.inferences import DeleteInferenceJobsRequest

        self._ask("DeleteInferenceJobs", DeleteInferenceJobsRequest(inference_id_list=tuple(ids)))

    def get(self, link: str) -> bytes:
        """Return what lies where a presigned link says."""
        answer = self._transport.ask("GET", link, timeout=TRANSFER_SECONDS)
        if answer.status != 200:
            raise refusal_of_s3(answer)
        return answer.body

    def put(self, link: str, body: Any, *, once: bool = False) -> str:
        """Put bytes, or an open file, where a presigned link says; return the entity tag.

        What is read as it is sent must be put *once*: who knows where it begins asks again.
        """
        ask = self._transport.once if once else self._transport.ask
        # urllib3 sends under the timeout that connecting has: a slow line must not look like no line
        answer = ask("PUT", link, data=body, connect=SEND_SECONDS, timeout=TRANSFER_SECONDS)
        if answer.status != 200:
            raise refusal_of_s3(answer)
        return answer.headers.get("ETag", "")

    def _data(self, operation: str, body: Any = None, **more: Any) -> Any:
        """Return the data of an answer as the class that the contract names for it."""
        answer = self._ask(operation, body, **more)
        cls = OPERATIONS[operation].responses.get(answer.status)
        document = answer.document()
        if cls is not None:
            with suppress(KeyError, TypeError, ValueError, AttributeError, IndexError):
                return build(cls, document["data"])
        raise Misunderstood(f"the middleware's answer to {operation} is not what it should be")

    def _ask(
        self, operation: str, body: Any = None, *, query: Mapping[str, Any] | None = None, **at: str
    ) -> Answer:
        """Ask for an operation of the contract; raise Refusal with the middleware's own words."""
        declared = OPERATIONS[operation]
        path = declared.path.format(**{name: quote(each, safe="") for name, each in at.items()})
        headers = {"x-api-key": self.account.token, **_acting(self.account.username)}
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = self._transport.ask(
            declared.method,
            self.account.url + path.lstrip("/"),
            params=query,
            data=None if body is None else json.dumps(dump(body)).encode(),
            headers=headers,
        )
        versions.check_header(answer.headers)
        if answer.status >= 400:
            raise refusal(answer)
        if answer.status >= 300:
            answer.document()
        return answer


def refusal(answer: Answer) -> Refusal:
    """Return what the middleware said; where that is one word only, with what it means here."""
    said = answer.document().get("message")
    words = said if isinstance(said, str) and said else f"the middleware answered {answer.status}"
    return Refusal(answer.status, MEANING.get((answer.status, words), words))


MEANING: Mapping[tuple[int, str], str] = {
    (403, "Forbidden"): (
        "Forbidden: the middleware does not know this token."
        " It was mistyped or revoked, or belongs to another URL."
    ),
    (
        401,
        "Unauthorized",
    ): "Unauthorized: there is no such user. The deployment's own token needs a user name.",
}


def _acting(username: str) -> dict[str, str]:
    """Return the header that names who acts; a name that cannot stand in a header goes in base16."""
    if not username:
        return {}
    if is_word(username):
        return {"username": username}
    return {"Authorization": f"Bearer {username.encode().hex()}"}


def _remarks(message: str) -> Remarks | None:
    from atelier_webui.contract.api.checkpoints import Remarks

    return Remarks(message=message) if message else None
