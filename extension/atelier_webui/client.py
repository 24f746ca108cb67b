"""The middleware's operations, with the answers as the contract's own classes.

Every method may take seconds and raise a Problem: call none of them where the UI would wait for it. A client
may be used from several threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atelier_webui import versions
from atelier_webui.calls import Calls
from atelier_webui.errors import Misunderstood, Refusal

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
OVER = frozenset({400, 404})
"""What cancelling a job that is over, or gone, is answered with."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What stands behind a connection."""

    title: str
    version: str


class Client(Calls):
    """One account's middleware: jobs, checkpoints and endpoints."""

    def ping(self) -> None:
        """Ask whether the middleware answers and takes the token."""
        self.ask("Ping")

    def check(self) -> Service:
        """Return what answers; raise Incompatible when it speaks another version of the API.

        Raise Refusal, too, when the token is nobody's: describing the API would need no acting user.
        """
        about = self.ask("GetApiOAS").document().get("info")
        if not isinstance(about, dict) or not isinstance(about.get("version"), str):
            raise Misunderstood("the middleware does not say which version of the API it speaks")
        versions.check(about["version"])
        try:
            self.ask("ListEndpoints", query={"limit": 1})
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
            page: Checkpoints = self.data("ListCheckpoints", query=query)
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
        made: CreatedCheckpoint = self.data("CreateCheckpoint", request)
        return made

    def fetch_checkpoint(self, type: CheckpointType, urls: Sequence[str], *, message: str = "") -> None:
        """Have the cloud fetch a checkpoint from URLs; it is listed, and Active when it is there."""
        from atelier_webui.contract.api.checkpoints import CreateCheckpointRequest

        request = CreateCheckpointRequest(checkpoint_type=type, urls=tuple(urls), params=_remarks(message))
        self.ask("CreateCheckpoint", request)

    def complete_checkpoint(self, id: str, parts: Mapping[str, Sequence[Part]]) -> None:
        """End an upload."""
        from atelier_webui.contract.api.checkpoints import UpdateCheckpointRequest

        tags = {name: tuple(each) for name, each in parts.items()}
        request = UpdateCheckpointRequest(status="Active", multi_parts_tags=tags)
        self.ask("UpdateCheckpoint", request, id=id)

    def rename_checkpoint(self, id: str, name: str) -> None:
        """Give a checkpoint another name, without the suffix."""
        from atelier_webui.contract.api.checkpoints import UpdateCheckpointRequest

        self.ask("UpdateCheckpoint", UpdateCheckpointRequest(name=name), id=id)

    def delete_checkpoints(self, ids: Sequence[str]) -> None:
        """Delete checkpoints and their files; unknown ids are fine."""
        from atelier_webui.contract.api.checkpoints import DeleteCheckpointsRequest

        self.ask("DeleteCheckpoints", DeleteCheckpointsRequest(checkpoint_id_list=tuple(ids)))

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints: every page of them."""
        found: list[Endpoint] = []
        start: str | None = None
        for _ in range(MOST_PAGES):
            query = {"limit": PAGE, "exclusive_start_key": start}
            page: Endpoints = self.data("ListEndpoints", query=query)
            found += page.endpoints
            if (start := page.last_evaluated_key) is None:
                break
        return found

    def create_endpoint(self, request: CreateEndpointRequest) -> Endpoint:
        """Begin to make an endpoint."""
        made: Endpoint = self.data("CreateEndpoint", request)
        return made

    def delete_endpoints(self, names: Sequence[str]) -> None:
        """Delete endpoints; unknown names are fine."""
        from atelier_webui.contract.api.endpoints import DeleteEndpointsRequest

        self.ask("DeleteEndpoints", DeleteEndpointsRequest(endpoint_name_list=tuple(names)))

    def roles(self) -> list[str]:
        """List the names of the roles to which an endpoint can be given."""
        page: Roles = self.data("ListRoles")
        return [each.role_name for each in page.roles]

    def inferences(self, task: str, *, limit: int = 20, start: str | None = None) -> Inferences:
        """Return a page of jobs of a task type, the newest first."""
        query = {"type": task, "limit": limit, "exclusive_start_key": start}
        page: Inferences = self.data("ListInferences", query=query)
        return page

    def inference(self, id: str) -> InferenceDetail:
        """Return a job with links to its results."""
        job: InferenceDetail = self.data("GetInferenceJob", id=id)
        return job

    def create_inference(self, request: CreateInferenceJobRequest) -> NewInference:
        """Make a job that waits for its parameters."""
        made: CreatedInference = self.data("CreateInferenceJob", request)
        return made.inference

    def run_inference(self, request: CreateInferenceJobRequest) -> str:
        """Make a job of a request that has its parameters in it; return its id."""
        told = self.ask("CreateInferenceJob", request).document().get("data")
        if not isinstance(told, dict) or not isinstance(told.get("InferenceJobId"), str):
            raise Misunderstood("the middleware did not say which job it made")
        id: str = told["InferenceJobId"]
        return id

    def start_inference(self, id: str) -> None:
        """Start a job whose parameters were put in place."""
        self.ask("StartInferences", id=id)

    def cancel_inference(self, id: str) -> None:
        """Cancel a job; one that is over or gone is fine."""
        try:
            self.ask("CancelInferenceJob", id=id)
        except Refusal as error:
            if error.status not in OVER:
                raise

    def delete_inferences(self, ids: Sequence[str]) -> None:
        """Delete jobs and their files; unknown ids are fine."""
        from atelier_webui.contract.api.inferences import DeleteInferenceJobsRequest

        self.ask("DeleteInferenceJobs", DeleteInferenceJobsRequest(inference_id_list=tuple(ids)))


def _remarks(message: str) -> Remarks | None:
    from atelier_webui.contract.api.checkpoints import Remarks

    return Remarks(message=message) if message else None
