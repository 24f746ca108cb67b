"""The middleware's operations, with the answers as the contract's own classes.

Every method may take seconds and raise a Problem: call none of them where the UI would wait for it. A client
may be used from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from atelier_webui.accounts import Account
from atelier_webui.contract.api.checkpoints import Checkpoint, CheckpointType, CreatedCheckpoint, Part
from atelier_webui.contract.api.endpoints import CreateEndpointRequest, Endpoint
from atelier_webui.contract.api.inferences import (
    CreateInferenceJobRequest,
    InferenceDetail,
    Inferences,
    NewInference,
)


@dataclass(frozen=True, kw_only=True)
class Service:
    """What stands behind a connection."""

    title: str
    version: str


class Client:
    """One account's middleware."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def ping(self) -> None:
        """Ask whether the middleware answers and takes the token."""
        raise NotImplementedError

    def check(self) -> Service:
        """Return what answers; raise Incompatible when it speaks another version of the API."""
        raise NotImplementedError

    def checkpoints(
        self, *, types: Sequence[CheckpointType] = (), statuses: Sequence[str] = ()
    ) -> list[Checkpoint]:
        """List the checkpoints of some types and statuses, or all: every page of them."""
        raise NotImplementedError

    def create_checkpoint(
        self, type: CheckpointType, parts: Mapping[str, int], *, message: str = ""
    ) -> CreatedCheckpoint:
        """Begin an upload of files in so many parts each."""
        raise NotImplementedError

    def fetch_checkpoint(self, type: CheckpointType, urls: Sequence[str], *, message: str = "") -> None:
        """Have the cloud fetch a checkpoint from URLs; it is listed, and Active when it is there."""
        raise NotImplementedError

    def complete_checkpoint(self, id: str, parts: Mapping[str, Sequence[Part]]) -> None:
        """End an upload."""
        raise NotImplementedError

    def rename_checkpoint(self, id: str, name: str) -> None:
        """Give a checkpoint another name, without the suffix."""
        raise NotImplementedError

    def delete_checkpoints(self, ids: Sequence[str]) -> None:
        """Delete checkpoints and their files; unknown ids are fine."""
        raise NotImplementedError

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints: every page of them."""
        raise NotImplementedError

    def create_endpoint(self, request: CreateEndpointRequest) -> Endpoint:
        """Begin to make an endpoint."""
        raise NotImplementedError

    def delete_endpoints(self, names: Sequence[str]) -> None:
        """Delete endpoints; unknown names are fine."""
        raise NotImplementedError

    def roles(self) -> list[str]:
        """List the names of the roles to which an endpoint can be given."""
        raise NotImplementedError

    def inferences(self, task: str, *, limit: int = 20, start: str | None = None) -> Inferences:
        """Return a page of jobs of a task type, the newest first."""
        raise NotImplementedError

    def inference(self, id: str) -> InferenceDetail:
        """Return a job with links to its results."""
        raise NotImplementedError

    def create_inference(self, request: CreateInferenceJobRequest) -> NewInference:
        """Make a job that waits for its parameters."""
        raise NotImplementedError

    def run_inference(self, request: CreateInferenceJobRequest) -> str:
        """Make a job of a request that has its parameters in it; return its id."""
        raise NotImplementedError

    def start_inference(self, id: str) -> None:
        """Start a job whose parameters were put in place."""
        raise NotImplementedError

    def cancel_inference(self, id: str) -> None:
        """Cancel a job; one that is over or gone is fine."""
        raise NotImplementedError

    def delete_inferences(self, ids: Sequence[str]) -> None:
        """Delete jobs and their files; unknown ids are fine."""
        raise NotImplementedError

    def get(self, link: str) -> bytes:
        """Return what lies where a presigned link says."""
        raise NotImplementedError

    def put(self, link: str, body: bytes, *, sent: Callable[[int], None] | None = None) -> str:
        """Put something where a presigned link says; return its entity tag."""
        raise NotImplementedError
