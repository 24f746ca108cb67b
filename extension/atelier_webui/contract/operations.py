"""The operations of the middleware: one table that functions, templates and the OpenAPI document read.

Clients know an operation by its id. One of *permissions* is enough. One that does not act as a user needs a
valid token alone; one that is *key_only* answers the deployment's own token in full, and a user's token with
what that user may see.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any

from .refusals import EVERYWHERE
from .schema import About, Number, Text
from .values import Value

VERSION = "1.7.0"
"""The version of the API that clients are told."""

LARGEST_BODY = 256 * 1024
"""Bytes of a body that is read, where an operation says nothing else."""


LONGEST_PAGE = 200
"""Checkpoints on a page at most, since a function's answer has an end; clients ask for more, and page on."""


class Parameter(Value):
    """A parameter of the query; one that is *repeated* has a value for each time it stands there."""

    name: str
    type: Any
    default: Any = None
    repeated: bool = False


class Operation(Value):
    """One operation; the body that it *takes* and the data that it *answers* with are named as `roles.Role`.

    They are named so that a function imports the bodies of its own family only.
    """

    id: str
    method: str
    path: str
    summary: str
    tag: str
    permissions: tuple[str, ...] = ()
    takes: str | None = None
    query: tuple[Parameter, ...] = ()
    answers: Mapping[int, str | None]
    failures: tuple[int, ...] = ()
    acts_as_user: bool = True
    key_only: bool = False
    lifted_by: str | None = None
    """A member of the body that, when true, asks for the deployment's own token instead of a permission."""
    may_lack_data: bool = False
    raw: bool = False
    """Whether the answer has no envelope."""
    largest_body: int = LARGEST_BODY

    @property
    def body(self) -> type[Any] | None:
        """Return the class of the body."""
        return _class(self.takes)

    @property
    def responses(self) -> Mapping[int, type[Any] | None]:
        """Return the class of each success's data, None where there is a message alone."""
        return {status: _class(name) for status, name in self.answers.items()}

    @property
    def family(self) -> str:
        """Return what the path begins with: the function that answers; the service itself is `meta`."""
        first = self.path.split("/")[1]
        return "meta" if first in {"", "ping", "api"} else first

    @property
    def statuses(self) -> tuple[int, ...]:
        """Return every status that this operation can answer."""
        reads = (400,) if self.takes or self.query else ()
        acts = (401,) if self.acts_as_user else ()
        return tuple(sorted({*self.answers, *self.failures, *reads, *acts, *EVERYWHERE}))


def _class(name: str | None) -> type[Any] | None:
    if name is None:
        return None
    module, _, title = name.partition(".")
    found: type[Any] = getattr(import_module(f".api.{module}", __package__), title)
    return found


NAME = Annotated[str, Text(max=200)]
LIMIT = Parameter(name="limit", type=Annotated[int, Number(min=1, max=1000)], default=10)
START = Parameter(
    name="exclusive_start_key",
    type=Annotated[str, Text(max=4096), About("The last_evaluated_key of the page before.")],
)
USERNAME = Parameter(name="username", type=NAME)

_ALL: tuple[Operation, ...] = (
    Operation(
        id="RootAPI",
        method="GET",
        path="/",
        summary="Say that the API is there",
        tag="Service",
        answers={200: None},
        acts_as_user=False,
    ),
    Operation(
        id="Ping",
        method="GET",
        path="/ping",
        summary="Answer pong",
        tag="Service",
        answers={200: None},
        acts_as_user=False,
    ),
    Operation(
        id="GetApiOAS",
        method="GET",
        path="/api",
        summary="Describe the API of this deployment",
        tag="Service",
        answers={200: "meta.Document"},
        acts_as_user=False,
        raw=True,
    ),
    Operation(
        id="ListRoles",
        method="GET",
        path="/roles",
        summary="List roles",
        tag="Roles",
        permissions=("role:all", "role:list"),
        query=(Parameter(name="role", type=NAME),),
        answers={200: "roles.Roles"},
    ),
    Operation(
        id="CreateRole",
        method="POST",
        path="/roles",
        summary="Make a role, or change its permissions",
        tag="Roles",
        permissions=("role:all", "role:create"),
        takes="roles.CreateRoleRequest",
        answers={201: None},
    ),
    Operation(
        id="DeleteRoles",
        method="DELETE",
        path="/roles",
        summary="Delete roles, and take them from their users",
        tag="Roles",
        permissions=("role:all",),
        takes="roles.DeleteRolesRequest",
        answers={204: "meta.Empty"},
    ),
    Operation(
        id="ListUsers",
        method="GET",
        path="/users",
        summary="List users",
        tag="Users",
        permissions=("user:all", "user:list"),
        query=(USERNAME, Parameter(name="show_password", type=Annotated[str, Text(max=10)])),
        answers={200: "users.Users"},
    ),
    Operation(
        id="CreateUser",
        method="POST",
        path="/users",
        summary="Make a user, or change one",
        tag="Users",
        permissions=("user:all",),
        takes="users.CreateUserRequest",
        answers={201: "users.CreatedUser"},
        lifted_by="initial",
        may_lack_data=True,
    ),
    Operation(
        id="DeleteUsers",
        method="DELETE",
        path="/users",
        summary="Delete users",
        tag="Users",
        permissions=("user:all",),
        takes="users.DeleteUsersRequest",
        answers={204: "meta.Empty"},
    ),
    Operation(
        id="CreateToken",
        method="POST",
        path="/users/{username}/tokens",
        summary="Make a token for oneself; for another user with user:all",
        tag="Users",
        takes="tokens.CreateTokenRequest",
        answers={201: "tokens.CreatedToken"},
        failures=(404,),
    ),
    Operation(
        id="ListTokens",
        method="GET",
        path="/users/{username}/tokens",
        summary="List a user's tokens, without their secrets",
        tag="Users",
        answers={200: "tokens.Tokens"},
        failures=(400, 404),
    ),
    Operation(
        id="DeleteToken",
        method="DELETE",
        path="/users/{username}/tokens/{id}",
        summary="Revoke a token",
        tag="Users",
        answers={204: "meta.Empty"},
        failures=(400, 404),
    ),
    Operation(
        id="ListCheckpoints",
        method="GET",
        path="/checkpoints",
        summary="List checkpoints",
        tag="Checkpoints",
        permissions=("checkpoint:all", "checkpoint:list"),
        query=(
            Parameter(name="page", type=Annotated[int, Number(min=1, max=1_000_000)], default=1),
            Parameter(
                name="per_page",
                type=Annotated[
                    int,
                    Number(min=1, max=1000),
                    About(f"A page has at most {LONGEST_PAGE}; the answer's per_page says how many."),
                ],
                default=10,
            ),
            USERNAME,
            Parameter(name="status", type=NAME, repeated=True),
            Parameter(name="types", type=NAME, repeated=True),
            Parameter(name="roles", type=NAME, repeated=True),
        ),
        answers={200: "checkpoints.Checkpoints"},
    ),
    Operation(
        id="CreateCheckpoint",
        method="POST",
        path="/checkpoints",
        summary="Begin the upload of a checkpoint, or have it fetched from URLs",
        tag="Checkpoints",
        permissions=("checkpoint:all", "checkpoint:create"),
        takes="checkpoints.CreateCheckpointRequest",
        answers={201: "checkpoints.CreatedCheckpoint", 202: None},
    ),
    Operation(
        id="UpdateCheckpoint",
        method="PUT",
        path="/checkpoints/{id}",
        summary="End the upload of a checkpoint, or give it another name",
        tag="Checkpoints",
        permissions=("checkpoint:all", "checkpoint:create"),
        takes="checkpoints.UpdateCheckpointRequest",
        answers={200: "checkpoints.UpdatedCheckpoint", 202: None},
        failures=(404,),
        largest_body=1024 * 1024,
    ),
    Operation(
        id="DeleteCheckpoints",
        method="DELETE",
        path="/checkpoints",
        summary="Delete checkpoints and their files",
        tag="Checkpoints",
        permissions=("checkpoint:all",),
        takes="checkpoints.DeleteCheckpointsRequest",
        answers={204: "meta.Empty"},
    ),
    Operation(
        id="ListEndpoints",
        method="GET",
        path="/endpoints",
        summary="List endpoints",
        tag="Endpoints",
        permissions=("sagemaker_endpoint:all", "sagemaker_endpoint:list"),
        query=(LIMIT, START, USERNAME, Parameter(name="endpointDeploymentJobId", type=NAME)),
        answers={200: "endpoints.Endpoints"},
    ),
    Operation(
        id="CreateEndpoint",
        method="POST",
        path="/endpoints",
        summary="Make an endpoint",
        tag="Endpoints",
        permissions=("sagemaker_endpoint:all", "sagemaker_endpoint:create"),
        takes="endpoints.CreateEndpointRequest",
        answers={202: "endpoints.Endpoint"},
        failures=(404,),
    ),
    Operation(
        id="DeleteEndpoints",
        method="DELETE",
        path="/endpoints",
        summary="Delete endpoints",
        tag="Endpoints",
        permissions=("sagemaker_endpoint:all",),
        takes="endpoints.DeleteEndpointsRequest",
        answers={204: "meta.Empty"},
    ),
    Operation(
        id="ListInferences",
        method="GET",
        path="/inferences",
        summary="List jobs, the newest first",
        tag="Inferences",
        query=(Parameter(name="type", type=NAME, default="txt2img"), LIMIT, START, USERNAME),
        answers={200: "inferences.Inferences"},
        key_only=True,
    ),
    Operation(
        id="CreateInferenceJob",
        method="POST",
        path="/inferences",
        summary="Make a job; with its parameters in the request it starts at once",
        tag="Inferences",
        permissions=("inference:all", "inference:create"),
        takes="inferences.CreateInferenceJobRequest",
        answers={
            200: "inferences.InferenceDetail",
            201: "inferences.CreatedInference",
            202: "inferences.StartedInference",
        },
        largest_body=5 * 1024 * 1024,
    ),
    Operation(
        id="StartInferences",
        method="PUT",
        path="/inferences/{id}/start",
        summary="Start a job whose parameters were put in place",
        tag="Inferences",
        permissions=("inference:all",),
        answers={200: "inferences.InferenceDetail", 202: "inferences.StartedInference"},
        failures=(400,),
    ),
    Operation(
        id="GetInferenceJob",
        method="GET",
        path="/inferences/{id}",
        summary="Show a job and where its results are",
        tag="Inferences",
        answers={200: "inferences.InferenceDetail"},
        failures=(400, 404),
        key_only=True,
    ),
    Operation(
        id="DeleteInferenceJobs",
        method="DELETE",
        path="/inferences",
        summary="Delete jobs and their files",
        tag="Inferences",
        permissions=("inference:all",),
        takes="inferences.DeleteInferenceJobsRequest",
        answers={204: "meta.Empty"},
    ),
    Operation(
        id="CancelInferenceJob",
        method="DELETE",
        path="/inferences/{id}/run",
        summary="Cancel a job that has not finished",
        tag="Inferences",
        permissions=("inference:all", "inference:create"),
        answers={200: "inferences.CancelledInference"},
        failures=(400, 404),
    ),
    Operation(
        id="ListTrainings",
        method="GET",
        path="/trainings",
        summary="List trainings, the newest first",
        tag="Trainings",
        permissions=("train:all",),
        query=(LIMIT, START),
        answers={200: "trainings.Trainings"},
    ),
    Operation(
        id="CreateTraining",
        method="POST",
        path="/trainings",
        summary="Begin to train a LoRA",
        tag="Trainings",
        permissions=("train:all",),
        takes="trainings.CreateTrainingJobRequest",
        answers={201: "trainings.CreatedTraining"},
    ),
    Operation(
        id="GetTraining",
        method="GET",
        path="/trainings/{id}",
        summary="Show a training with its logs, samples and loss",
        tag="Trainings",
        permissions=("train:all",),
        answers={200: "trainings.TrainingDetail"},
        failures=(400, 404),
    ),
    Operation(
        id="StopTraining",
        method="DELETE",
        path="/trainings/{id}/run",
        summary="Stop a training that has not finished",
        tag="Trainings",
        permissions=("train:all",),
        answers={200: "trainings.StoppedTraining"},
        failures=(400, 404),
    ),
    Operation(
        id="DeleteTrainings",
        method="DELETE",
        path="/trainings",
        summary="Delete trainings with their logs and samples; their LoRAs stay",
        tag="Trainings",
        permissions=("train:all",),
        takes="trainings.DeleteTrainingJobsRequest",
        answers={204: "meta.Empty"},
    ),
    Operation(
        id="ListMerges",
        method="GET",
        path="/merges",
        summary="List merges, the newest first",
        tag="Merges",
        permissions=("checkpoint:all", "checkpoint:list"),
        query=(LIMIT, START),
        answers={200: "merges.Merges"},
    ),
    Operation(
        id="MergeCheckpoints",
        method="POST",
        path="/merges",
        summary="Begin to make a checkpoint of others",
        tag="Merges",
        permissions=("checkpoint:all", "checkpoint:create"),
        takes="merges.MergeCheckpointsRequest",
        answers={202: "merges.CreatedMerge"},
    ),
    Operation(
        id="GetMerge",
        method="GET",
        path="/merges/{id}",
        summary="Show a merge with its logs and how far it is",
        tag="Merges",
        permissions=("checkpoint:all", "checkpoint:list"),
        answers={200: "merges.MergeDetail"},
        failures=(400, 404),
    ),
    Operation(
        id="StopMerge",
        method="DELETE",
        path="/merges/{id}/run",
        summary="Stop a merge that has not finished: one's own, or with checkpoint:all anybody's",
        tag="Merges",
        permissions=("checkpoint:all", "checkpoint:create"),
        answers={200: "merges.StoppedMerge"},
        failures=(400, 404),
    ),
    Operation(
        id="DeleteMerges",
        method="DELETE",
        path="/merges",
        summary="Delete merges with their logs; their checkpoints stay",
        tag="Merges",
        permissions=("checkpoint:all",),
        takes="merges.DeleteMergesRequest",
        answers={204: "meta.Empty"},
    ),
    Operation(
        id="ListDatasets",
        method="GET",
        path="/datasets",
        summary="List datasets, the newest first",
        tag="Datasets",
        permissions=("train:all",),
        query=(Parameter(name="dataset_status", type=NAME), LIMIT, START),
        answers={200: "datasets.Datasets"},
    ),
    Operation(
        id="CreateDataset",
        method="POST",
        path="/datasets",
        summary="Make a dataset, or add files to it, and say where the files may be put",
        tag="Datasets",
        permissions=("train:all",),
        takes="datasets.CreateDatasetRequest",
        answers={201: "datasets.CreatedDataset"},
    ),
    Operation(
        id="GetDataset",
        method="GET",
        path="/datasets/{id}",
        summary="Show a dataset with previews of its files",
        tag="Datasets",
        permissions=("train:all",),
        query=(START,),
        answers={200: "datasets.DatasetDetail"},
        failures=(404,),
    ),
    Operation(
        id="UpdateDataset",
        method="PUT",
        path="/datasets/{id}",
        summary="Enable a dataset, or take it out of use",
        tag="Datasets",
        permissions=("train:all",),
        takes="datasets.UpdateDatasetRequest",
        answers={200: "datasets.UpdatedDataset"},
        failures=(404,),
    ),
    Operation(
        id="CropDataset",
        method="POST",
        path="/datasets/{id}/crop",
        summary="Begin to make a dataset of another one's pictures, cropped",
        tag="Datasets",
        permissions=("train:all",),
        takes="datasets.CropDatasetRequest",
        answers={202: "datasets.CroppedDataset"},
        failures=(404,),
    ),
    Operation(
        id="DeleteDatasets",
        method="DELETE",
        path="/datasets",
        summary="Delete datasets with their files",
        tag="Datasets",
        permissions=("train:all",),
        takes="datasets.DeleteDatasetsRequest",
        answers={204: "meta.Empty"},
    ),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({each.id: each for each in _ALL})
"""Every operation by its id."""
