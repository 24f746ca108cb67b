"""Jobs: submitted without waiting, listed, cancelled, done again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from atelier_webui import infotexts, networks, results
from atelier_webui.client import Client
from atelier_webui.errors import Problem, Refusal
from atelier_webui.forms import Form
from atelier_webui.history import Choice, History

if TYPE_CHECKING:
    from atelier_webui.contract.api.checkpoints import Checkpoint, CheckpointType
    from atelier_webui.contract.api.inferences import CreateInferenceJobRequest, Inference

__all__ = ["ENDED", "Choice", "History", "Jobs", "Order", "Page"]

ENDED = frozenset({"succeeded", "failed", "cancelled"})

MOST_INSIDE = 512 * 1024
"""Characters of parameters that go with the request; more are uploaded before the job is started."""

PAGE = 50
MOST_LOOKED_AT = 500
"""Jobs that are looked at to find those of one status."""

CHECKPOINTS: CheckpointType = "Stable-diffusion"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One job to be submitted: its part of a form, where it is made, and what it needs."""

    form: Form
    choice: Choice
    models: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Jobs, the newest first, and the key of the page after."""

    jobs: tuple[Inference, ...]
    next: str | None


class Jobs:
    """The jobs of an account."""

    def __init__(self, client: Client, history: History) -> None:
        self.client = client
        self.history = history

    def submit(self, form: Form, choice: Choice) -> list[str]:
        """Submit a form without waiting for it; a large one becomes several jobs. Return their ids.

        When one of them is refused, those before it are cancelled.
        """
        ids: list[str] = []
        try:
            for order in self.orders(form, choice):
                ids.append(self.send(order))
        except Problem:
            for each in ids:
                with suppress(Problem):
                    self.client.cancel_inference(each)
            raise
        return ids

    def orders(self, form: Form, choice: Choice) -> list[Order]:
        """Return the jobs that a form becomes; raise Problem when something that it needs is not there."""
        there = self._there(form, choice)
        settled = choice if choice.checkpoint else replace(choice, checkpoint=_newest(there))
        models = {CHECKPOINTS: (settled.checkpoint,), **networks.needed(form, choice.vae, there)}
        return [Order(form=part, choice=settled, models=models) for part in form.parts()]

    def _there(self, form: Form, choice: Choice) -> Sequence[Checkpoint]:
        """List what a form may need; who may not see it can do without it when nothing of it is named."""
        kinds = networks.KINDS if choice.checkpoint else (CHECKPOINTS, *networks.KINDS)
        try:
            return self.client.checkpoints(types=kinds, statuses=["Active"])
        except Refusal as refusal:
            if refusal.status != 403 or not choice.checkpoint or networks.named(form, choice.vae):
                raise
            return ()

    def send(self, order: Order) -> str:
        """Submit one job and return its id."""
        from atelier_webui.contract.api.inferences import CreateInferenceJobRequest

        text = json.dumps(_named(order), ensure_ascii=False)
        request = CreateInferenceJobRequest(
            task_type=order.form.task,
            inference_type=order.choice.kind,
            models=order.models,
            sagemaker_endpoint_name=order.choice.endpoint or None,
        )
        if len(text) <= MOST_INSIDE:
            id = self.client.run_inference(replace(request, payload_string=text))
        else:
            id = self._send_large(request, text)
        self.history.keep(id, order.form, order.choice)
        return id

    def _send_large(self, request: CreateInferenceJobRequest, text: str) -> str:
        """Put the parameters in place first; a job that cannot be started does not stay."""
        made = self.client.create_inference(request)
        try:
            self.client.put(made.api_params_s3_upload_url, text.encode())
            self.client.start_inference(made.id)
        except Problem:
            with suppress(Problem):
                self.client.cancel_inference(made.id)
            raise
        return made.id

    def page(self, task: str, *, status: str = "", limit: int = 20, start: str | None = None) -> Page:
        """Return jobs of a task, of one status if it is named."""
        if not status:
            found = self.client.inferences(task, limit=limit, start=start)
            return Page(jobs=found.inferences, next=found.last_evaluated_key)
        jobs: list[Inference] = []
        for _ in range(MOST_LOOKED_AT // PAGE):
            found = self.client.inferences(task, limit=PAGE, start=start)
            jobs += [each for each in found.inferences if each.status == status]
            start = found.last_evaluated_key
            if start is None or len(jobs) >= limit:
                break
        return Page(jobs=tuple(jobs), next=start)

    def cancel(self, id: str) -> None:
        """Cancel a job; one that is over is fine."""
        self.client.cancel_inference(id)

    def delete(self, *ids: str) -> None:
        """Delete jobs and their images."""
        self.client.delete_inferences(ids)

    def retry(self, id: str) -> str:
        """Submit again what a job was asked; return the new job's id. Raise Problem when it is not known."""
        known = self.history.find(id)
        if known is None:
            raise Problem(
                f"What job {id} was asked is not known here:"
                " it was submitted from another computer, or long ago."
            )
        form, choice = known
        return self.submit(form, choice)[0]

    def infotext(self, id: str) -> str:
        """Return what a job was asked as an infotext, which the WebUI reads into its form."""
        if known := self.history.find(id):
            form, choice = known
            return infotexts.write(form, choice.checkpoint)
        return results.infotext(self.client.inference(id), self.client)


def _newest(there: Sequence[Checkpoint]) -> str:
    name = next((each.name[0] for each in there if each.type == CHECKPOINTS and each.name), None)
    if name is None:
        raise Problem("There is no checkpoint in the cloud yet: upload one in the Atelier tab first.")
    return name


def _named(order: Order) -> dict[str, object]:
    """Return the parameters with the checkpoint, and a chosen VAE, named as the WebUI's API does."""
    settings = {
        **order.form.payload.get("override_settings", {}),
        "sd_model_checkpoint": order.choice.checkpoint,
        **({"sd_vae": order.choice.vae} if order.choice.vae else {}),
    }
    return {**order.form.payload, "override_settings": settings}
