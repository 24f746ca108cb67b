"""The stacks of each part, in their order; AWS and the local cloud alike.

`training-flow` is not among them: the pipeline deploys it from the commit it builds. Nor is `serving-api`,
which appears when the first model is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from atelier import bundle, synth
from atelier.client.errors import Problem
from atelier.client.images import ENDPOINTS, KINDS, Images, Kind, sources
from atelier.client.images import FLEET as FLEET_IMAGES
from atelier.stacks import Event, Outcome, Stack, Stacks

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from atelier.client.session import Clients

Code = Mapping[str, tuple[str, bytes]]
"""What functions run: key and content by the parameter that hands the key to the stacks."""

STORAGE, ACCOUNT = "storage", "account"
IMAGES, API = ENDPOINTS.stack, "middleware-api"
FLEET, TASKS = "serving-fleet", "FleetTasks"
ORDER = (STORAGE, ACCOUNT, "registry", "training-pipeline")
MIDDLEWARE = (STORAGE, ACCOUNT, "middleware-state", IMAGES, "middleware-jobs", "middleware-work", API)
SHARED = ("network", "shared-models", "shared-storage")
SERVING = (STORAGE, ACCOUNT, "registry", *SHARED, FLEET_IMAGES.stack, FLEET)
DOCS = ("docs-site",)
GITHUB = ("registry", *DOCS, "github-oidc")
WEBUI = (STORAGE, "registry", "webui-state", "webui-pipeline", "workstation")
NOTEBOOK = (STORAGE, "registry", "notebook")
PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pipeline": ORDER,
        "middleware": MIDDLEWARE,
        "webui": WEBUI,
        "fleet": SERVING,
        "docs": DOCS,
        "github": GITHUB,
        "notebook": NOTEBOOK,
        "all": tuple(dict.fromkeys((*ORDER, *MIDDLEWARE, *WEBUI, *SERVING, *DOCS, *NOTEBOOK))),
    }
)
"""What can be deployed by itself."""

CHECKOUT = Path(__file__).parents[2]
"""What images are built from lies in a checkout, not in an installation."""

Progress = Callable[[Event], None]


def deploy(
    clients: Clients,
    *,
    prefix: str,
    parameters: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = lambda event: None,
    code: Callable[[], Code] | None = None,
    order: Sequence[str] = ORDER,
    keeps: bool = True,
) -> list[Outcome]:
    """Create or update the stacks of an order; what one stack outputs is a parameter of those after it.

    A parameter that nobody gives keeps what was chosen before, or has its default if not *keeps*. The images
    of endpoints and of the fleet are built on the way, unless parameters name them.
    """
    _refuse_unknown(parameters, order)
    values: dict[str, str] = {**parameters, "Prefix": prefix}
    outcomes = []
    kinds = {each.stack: each for each in KINDS if each.stack in order and each.parameter not in parameters}
    named = {each.stack for each in KINDS if each.parameter in parameters}
    for name in (each for each in order if each not in named):
        if name == FLEET:
            values.setdefault(TASKS, str(tasks(clients, f"{prefix}-{FLEET}")))
        stacks = Stacks(
            cloudformation=clients.cloudformation,
            progress=progress,
            upload=_uploader(clients.s3, values.get("CodeBucketName")),
        )
        outcome = stacks.apply(stack(name, prefix, values, keeps))
        values.update(outcome.outputs)
        if name == STORAGE:
            made = {each.source: image_source(each) for each in kinds.values()}
            values.update(upload(clients.s3, values["CodeBucketName"], {**(code or built)(), **made}))
        elif name in kinds:
            values[kinds[name].parameter] = image(clients, kinds[name], outcome, values, progress)
        outcomes.append(outcome)
    return outcomes


def image_source(kind: Kind = ENDPOINTS) -> tuple[str, bytes]:
    """Put together what an image is built from."""
    return bundle.zipped(sources(CHECKOUT, kind), "sources")


def image(clients: Clients, kind: Kind, stack: Outcome, values: Mapping[str, str], progress: Progress) -> str:
    """Return an image by its digest, built unless it was before."""

    def tell(status: str) -> None:
        progress(Event(stack=stack.name, resource="Image", type=kind.told, status=status))

    images = Images(
        clients=clients,
        repository=values[kind.repository],
        uri=values[kind.uri],
        project=values[kind.project],
    )
    found = images.of(Path(values[kind.source]).stem, begins=lambda: tell("BUILD_IN_PROGRESS"))
    tell("BUILD_COMPLETE")
    return found


def tasks(clients: Clients, stack: str) -> int:
    """Return how many tasks the fleet has: an update of its service must not change what scaling decided."""
    said = Stacks(cloudformation=clients.cloudformation).outputs(stack) or {}
    if "FleetServiceName" not in said:
        return 0
    found = clients.ecs.describe_services(
        cluster=said["FleetClusterName"], services=[said["FleetServiceName"]]
    )["services"]
    return found[0]["desiredCount"] if found else 0


def _refuse_unknown(parameters: Mapping[str, str], order: Sequence[str]) -> None:
    """Refuse what no stack lets a person choose: what has no default comes from other stacks."""
    choices = {
        name
        for each in order
        for name, parameter in synth.TEMPLATES[each]().parameters.items()
        if "Default" in parameter.properties and name != "Prefix"
    }
    if unknown := sorted(parameters.keys() - choices):
        names = ", ".join(sorted(choices))
        raise Problem(f"no stack has a parameter {', '.join(unknown)} to choose; there are {names}")


def stack(name: str, prefix: str, values: dict[str, str], keeps: bool) -> Stack:
    """Return a stack as it should be, with the values that earlier stacks said."""
    return Stack(
        name=f"{prefix}-{name}",
        template=synth.text(name),
        parameters=dict(values),
        tags={"atelier:installation": prefix},
        keeps=keeps,
    )


def built() -> Code:
    """Build the functions' zip and their dependencies' layer."""
    return {"CodeKey": bundle.functions(), "LayerKey": bundle.layer()}


def upload(s3: S3Client, code_bucket: str, code: Code) -> dict[str, str]:
    """Upload what is not there yet; return the keys by parameter."""
    for key, body in code.values():
        if not s3.list_objects_v2(Bucket=code_bucket, Prefix=key).get("KeyCount"):
            s3.put_object(Bucket=code_bucket, Key=key, Body=body)
    return {parameter: key for parameter, (key, _) in code.items()}


def _uploader(s3: S3Client, bucket: str | None) -> Callable[[str, bytes], str]:
    def put(key: str, body: bytes) -> str:
        if bucket is None:
            raise Problem(f"{key} is too large for a request, and there is no bucket for it yet")
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        return f"{s3.meta.endpoint_url}/{bucket}/{key}"

    return put
