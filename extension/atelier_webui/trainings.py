"""Trainings: begun, watched, stopped; what they tell of themselves lies behind links that only we follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atelier_webui.calls import Calls
from atelier_webui.errors import Refusal

if TYPE_CHECKING:
    from PIL.Image import Image

    from atelier_webui.contract.api.trainings import CreatedTraining, TrainedOn, TrainingDetail, Trainings
    from atelier_webui.contract.api.work import LinkedFile

ENDED = frozenset({"Completed", "Failed", "Stopped"})
"""The statuses of work that is over."""

GONE = 404
LOG = 64 * 1024
"""Characters of a log that are shown, its last ones."""


@dataclass(frozen=True)
class Training:
    """The trainings of an account's middleware."""

    calls: Calls

    def page(self, *, limit: int, start: str | None = None) -> Trainings:
        """Return trainings, the newest first."""
        query = {"limit": limit, "exclusive_start_key": start}
        page: Trainings = self.calls.data("ListTrainings", query=query)
        return page

    def get(self, id: str) -> TrainingDetail:
        """Return a training, as far as it is."""
        found: TrainingDetail = self.calls.data("GetTraining", id=id)
        return found

    def begin(self, on: TrainedOn, output_name: str, settings: Mapping[str, Any]) -> CreatedTraining:
        """Begin to train a LoRA."""
        from atelier_webui.contract.api.trainings import (
            CreateTrainingJobRequest,
            TrainingConfig,
            TrainingRequestParams,
        )

        config = TrainingConfig(output_name=output_name, more=dict(settings))
        params = TrainingRequestParams(training_params=on, config_params=config)
        request = CreateTrainingJobRequest(lora_train_type="kohya", params=params)
        made: CreatedTraining = self.calls.data("CreateTraining", request)
        return made

    def stop(self, id: str) -> None:
        """Let a training not run to its end."""
        self.calls.ask("StopTraining", id=id)

    def delete(self, *ids: str) -> None:
        """Delete trainings with their logs and samples; their LoRAs stay."""
        from atelier_webui.contract.api.trainings import DeleteTrainingJobsRequest

        self.calls.ask("DeleteTrainings", DeleteTrainingJobsRequest(training_id_list=ids))

    def sample(self, id: str) -> Image | None:
        """Return the last picture that a training made to show how far it is; None when there is none."""
        samples = self.get(id).samples
        return picture(self.calls, samples[-1]) if samples else None


def picture(calls: Calls, file: LinkedFile) -> Image:
    """Return a picture that work has made."""
    from atelier_webui.results import opened

    return opened(calls.get(file.url), file.filename)


def log(calls: Calls, files: Sequence[LinkedFile]) -> str:
    """Return the end of what work has told; nothing when it has told nothing yet."""
    texts = (_text(calls, each) for each in files)
    return "\n".join(each for each in texts if each)[-LOG:]


def _text(calls: Calls, file: LinkedFile) -> str:
    try:
        return calls.get(file.url).decode(errors="replace").rstrip()
    except Refusal as refusal:
        if refusal.status != GONE:
            raise
        return ""
