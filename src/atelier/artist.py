"""What an artist does, once through: from a token to a picture, and to one of a style of their own.

It takes nothing but the REST API.

Every step looks at what is there already, so a demo that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from atelier import studies
from atelier.client import checkpoints, middleware, pictures, tokens
from atelier.client.checkpoints import Checkpoint
from atelier.client.errors import Problem
from atelier.client.images import ENDPOINTS
from atelier.client.outputs import PREFIX
from atelier.demo import Clock
from atelier.deploy import CHECKOUT
from atelier.studies import Made
from atelier.waiting import settle

if TYPE_CHECKING:
    from atelier.client.middleware import Api
    from atelier.client.session import Clients

USER = ROLE = "artist"
PERMISSIONS = ("checkpoint:all", "sagemaker_endpoint:all", "inference:all", "train:all")
CHECKPOINTS = ("tiny.safetensors", "tiny-2.safetensors")
"""Their seeds are their places here: they differ, so that it can be seen what a merge of them does."""
TOKEN_SECONDS = 3600

REQUEST: Mapping[str, Any] = {
    "prompt": "a lighthouse at dawn, oil on canvas",
    "negative_prompt": "fog",
    "sampler_name": "DPM++ 2M",
    "scheduler": "Karras",
    "steps": 12,
    "cfg_scale": 5,
    "seed": 7,
    "width": 64,
    "height": 64,
}


class View(Protocol):
    """Who watches: a terminal, a log, or a test."""

    def step(self, text: str) -> None:
        """Say what was done."""
        ...

    def during(self, text: str) -> AbstractContextManager[None]:
        """Say what is going on."""
        ...

    def rest(self, endpoint: str) -> bool:
        """Say whether the endpoint shall go to zero instances."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the demo does it with."""

    folder: Path
    prefix: str = PREFIX
    instance_type: str = "ml.g4dn.xlarge"


@dataclass(frozen=True, kw_only=True)
class Painting:
    """A picture, and how it was made."""

    inference: str
    path: Path
    picture: pictures.Picture
    infotext: str

    def document(self) -> dict[str, Any]:
        """Return what programs are told of it."""
        return {
            "inference_id": self.inference,
            "picture": str(self.path),
            "width": self.picture.width,
            "height": self.picture.height,
            "infotext": self.infotext,
        }


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a demo that went through has to show."""

    api_url: str
    checkpoint: Checkpoint
    endpoint: str
    instances: str
    first: Painting
    made: Made
    second: Painting
    seconds: Mapping[str, float]

    def document(self) -> dict[str, Any]:
        """Return the result as one JSON object."""
        return {
            "api_url": self.api_url,
            "username": USER,
            "checkpoint_id": self.checkpoint.id,
            "endpoint_name": self.endpoint,
            "endpoint_instances": self.instances,
            **self.first.document(),
            **self.made.document(),
            "second": self.second.document(),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def go(clients: Clients, plan: Plan, view: View, clock: Clock) -> Result:
    """Take the deployed middleware from a token to a picture, and to one of the artist's own style."""
    owner = middleware.connect(clients, plan.prefix)
    view.step(f"The middleware answers: {owner.call('GET', 'ping') or 'pong'} from {owner.url}")
    with known(owner, view, clock) as api:
        one, two = (uploaded(api, name, view, clock) for name in CHECKPOINTS)
        endpoint = ready(api, plan, view, clock)
        prompt = str(REQUEST["prompt"])
        first = painted(api, plan, endpoint, {one.type: [one.name]}, prompt, view, clock)
        made = studies.make(api, one, two, plan.instance_type, view, clock)
        with_lora = f"{prompt} <lora:{studies.LORA}:1>"
        second = painted(api, plan, endpoint, made.models(), with_lora, view, clock)
        instances = rested(clients, api, endpoint, view, clock)
    return Result(
        api_url=owner.url,
        checkpoint=one,
        endpoint=endpoint,
        instances=instances,
        first=first,
        made=made,
        second=second,
        seconds=clock.total(),
    )


@contextlib.contextmanager
def known(owner: Api, view: View, clock: Clock) -> Iterator[Api]:
    """Make the user, their role, and a token; it is revoked when the demo is over."""
    with clock.timed("token"):
        owner.call("POST", "roles", {"role_name": ROLE, "permissions": list(PERMISSIONS)})
        owner.call("POST", "users", {"username": USER, "roles": [ROLE]})
        made = tokens.create(owner, USER, description="atelier demo artist", expires_in=TOKEN_SECONDS)
    view.step(f"User {USER} with the role {ROLE} has a token for an hour")
    try:
        yield middleware.Api(url=owner.url, token=made.secret, username=USER)
    finally:
        tokens.revoke(owner, USER, made.token.id)


def uploaded(api: Api, name: str, view: View, clock: Clock) -> Checkpoint:
    """Make a tiny checkpoint and upload it, unless it was before."""
    with clock.timed("checkpoint"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        generate(path, CHECKPOINTS.index(name))
        found = checkpoints.upload(api, path)
        size = path.stat().st_size
    what = f"{size:,} bytes, uploaded" if found.is_new else "there already"
    view.step(f"Checkpoint {name}, a Stable Diffusion of random weights: {what}")
    return found


def generate(path: Path, seed: int = 0) -> None:
    """Write the tiny checkpoint of a seed, by the image's own script."""
    command = [sys.executable, "-m", "diffusion", "tiny", str(path), "--seed", str(seed)]
    done = subprocess.run(
        command, cwd=CHECKOUT / ENDPOINTS.folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["no reason given"]
        raise Problem(f"the tiny checkpoint could not be made: {words[-1]}")


def ready(api: Api, plan: Plan, view: View, clock: Clock) -> str:
    """Return the name of the artist's endpoint, made unless it is there, once it is in service."""
    with clock.timed("endpoint"):
        found = mine(api)
        if found is not None and found["endpoint_status"] == "Failed":
            api.call("DELETE", "endpoints", {"endpoint_name_list": [found["endpoint_name"]]})
            settle(lambda: mine(api) is None, f"endpoint {found['endpoint_name']} to be deleted")
            found = None
        if found is None:
            found = api.call("POST", "endpoints", asked(plan))
        name = str(found["endpoint_name"])
        with view.during(f"Endpoint {name} comes up on {found['instance_type']}"):
            settle(lambda: is_in_service(mine(api), name), f"endpoint {name} to be in service")
    view.step(f"Endpoint {name} is in service, from no instances to one as there is work")
    return name


def asked(plan: Plan) -> dict[str, Any]:
    """Return the endpoint to ask for."""
    return {
        "endpoint_name": USER,
        "endpoint_type": "Async",
        "instance_type": plan.instance_type,
        "initial_instance_count": 1,
        "autoscaling_enabled": True,
        "min_instance_number": 0,
        "max_instance_number": 1,
        "assign_to_roles": [ROLE],
    }


def mine(api: Api) -> dict[str, Any] | None:
    """Return the artist's endpoint."""
    query = urlencode({"username": USER, "limit": 100})
    name = f"sd-async-{USER}"
    found = api.call("GET", f"endpoints?{query}")["endpoints"]
    return next((each for each in found if each["endpoint_name"] == name), None)


def is_in_service(endpoint: Mapping[str, Any] | None, name: str) -> bool:
    """Say whether the endpoint answers; raise Problem when it never will."""
    if endpoint is None:
        raise Problem(f"endpoint {name} is gone")
    if endpoint["endpoint_status"] == "Failed":
        raise Problem(f"endpoint {name} failed: {endpoint.get('error') or 'no reason given'}")
    return bool(endpoint["endpoint_status"] == "InService")


def painted(
    api: Api,
    plan: Plan,
    endpoint: str,
    models: Mapping[str, list[str]],
    prompt: str,
    view: View,
    clock: Clock,
) -> Painting:
    """Ask for a picture, wait until it is painted, and keep it."""
    wanted = {
        "task_type": "txt2img",
        "inference_type": "Async",
        "sagemaker_endpoint_name": endpoint,
        "models": models,
        "payload_string": json.dumps({**REQUEST, "prompt": prompt}),
    }
    with clock.timed("pictures"), view.during(f"“{prompt}” is being painted"):
        id = api.call("POST", "inferences", wanted)["InferenceJobId"]
        settle(lambda: _job(api, id)["status"] != "inprogress", f"inference {id} to end")
        job = _job(api, id)
    if job["status"] != "succeeded":
        why = job.get("error") or (job.get("sagemakerRaw") or {}).get("failureReason") or "no reason given"
        raise Problem(f"inference {id} {job['status']}: {why}")
    png = checkpoints.get(job["img_presigned_urls"][0])
    path = saved(plan.folder, id, png)
    view.step(f"Painted “{prompt}”: {path}")
    return Painting(inference=id, path=path, picture=pictures.read(png), infotext=pictures.infotext(png))


def _job(api: Api, id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.call("GET", f"inferences/{id}")
    return found


def saved(folder: Path, id: str, png: bytes) -> Path:
    """Keep the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{id}.png"
    path.write_bytes(png)
    return path


def rested(clients: Clients, api: Api, endpoint: str, view: View, clock: Clock) -> str:
    """Scale the endpoint to zero, as its autoscaling would later; return how many instances it has."""
    if not view.rest(endpoint):
        view.step(f"Endpoint {endpoint} stays up; its autoscaling takes it to no instances when it is idle")
        return str((mine(api) or {}).get("current_instance_count", "0"))
    with clock.timed("to zero"), view.during(f"Endpoint {endpoint} goes to no instances"):
        found = clients.sagemaker.describe_endpoint(EndpointName=endpoint)
        clients.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[
                {"VariantName": found["ProductionVariants"][0]["VariantName"], "DesiredInstanceCount": 0}
            ],
        )
        settle(lambda: _is_at_rest(api, endpoint), f"endpoint {endpoint} to have no instances")
    view.step(f"Endpoint {endpoint} has no instances; the next picture wakes it")
    return "0"


def _is_at_rest(api: Api, name: str) -> bool:
    found = mine(api)
    return is_in_service(found, name) and found is not None and found["current_instance_count"] == "0"
