"""Trainings: what artists teach a model from their own pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from ..schema import UUID, About, Items, Rest, Text
from ..values import Value
from .work import LINK, OUTPUT_NAME, TIME, LinkedFile, WorkStatus

CONFIG_PARAMS = (
    *("output_name", "max_train_epochs", "max_train_steps", "save_every_n_epochs", "save_precision"),
    *("save_model_as", "resolution", "enable_bucket", "min_bucket_reso", "max_bucket_reso"),
    *("bucket_reso_steps", "bucket_no_upscale", "train_batch_size", "gradient_accumulation_steps"),
    *("gradient_checkpointing", "learning_rate", "unet_lr", "text_encoder_lr", "network_module"),
    *("network_dim", "network_alpha", "network_dropout", "network_train_unet_only", "optimizer_type"),
    *("weight_decay", "lr_scheduler", "lr_warmup_steps", "lr_scheduler_num_cycles", "max_grad_norm"),
    *("min_snr_gamma", "noise_offset", "caption_extension", "shuffle_caption", "keep_tokens"),
    *("caption_dropout_rate", "flip_aug", "dataset_repeats", "clip_skip", "max_token_length"),
    *("mixed_precision", "seed", "sample_prompts", "sample_steps", "sample_sampler", "training_comment"),
)
"""What may be said of how to train; docs/training.md says what each means, and another one is refused."""


class TrainedOn(Value):
    """What is trained, from what, and on which kind of machine."""

    training_instance_type: Annotated[str, Text(min=1, max=64)]
    model: Annotated[str, Text(min=1, max=255), About("The name of a Stable-diffusion checkpoint.")]
    dataset: Annotated[str, Text(min=1, max=100), About("The name of an enabled dataset.")]
    fm_type: Annotated[Literal["sd_1_5", "sd_xl"], About("What the model is built like.")]


class TrainingConfig(Value):
    """How to train: what is left out has a default, a name that is not known is refused."""

    output_name: Annotated[str, OUTPUT_NAME, About("The name of the LoRA to make.")]
    more: Rest = field(default_factory=dict)


class Tagger(Value):
    """How sure a tagger must be of a tag."""

    general_threshold: Annotated[str, Text(max=20)] | None = None
    character_threshold: Annotated[str, Text(max=20)] | None = None


class TrainingRequestParams(Value):
    """All that a training is made from."""

    training_params: TrainedOn
    config_params: TrainingConfig
    enable_wd14_tagger: bool = False
    wd14_tagger_params: Tagger | None = None


class CreateTrainingJobRequest(Value):
    """A training to begin."""

    lora_train_type: Literal["kohya"]
    params: TrainingRequestParams


class DeleteTrainingJobsRequest(Value):
    """The trainings to delete, with their logs and samples; the LoRAs that they made stay."""

    training_id_list: Annotated[
        tuple[Annotated[str, Text(pattern=r"^[a-f0-9\-]{36}$")], ...], Items(min=1, max=100)
    ]


class TrainingParams(Value):
    """What a training was made from, and where that lies."""

    training_type: str
    training_params: Mapping[str, Any]
    config_params: TrainingConfig
    more: Rest = field(default_factory=dict)


class CreatedTraining(Value):
    """A training that was begun."""

    id: Annotated[str, UUID]
    status: WorkStatus
    created: Annotated[str, TIME]
    params: TrainingParams
    input_location: Annotated[str, LINK]
    output_location: Annotated[str, LINK]


class Training(Value):
    """A training as it is listed."""

    id: Annotated[str, UUID]
    modelName: Annotated[str, About("The name of the LoRA.")]
    status: WorkStatus
    trainType: str
    created: Annotated[str, TIME]
    sagemakerTrainName: str
    params: TrainingParams
    creator: str
    error: Annotated[str, About("Why it failed.")] | None = None


class Trainings(Value):
    """A page of trainings, the newest first."""

    trainings: tuple[Training, ...]
    last_evaluated_key: str | None


class Metric(Value):
    """How far a training was at a step."""

    step: int
    epoch: int
    loss: float
    lr: float
    at: Annotated[str, TIME]


class TrainingDetail(Value):
    """A training, as far as it is: links to its logs and samples, and its loss up to now."""

    id: Annotated[str, UUID]
    job_status: WorkStatus
    model_id: Annotated[str, UUID, About("The checkpoint that it began from.")]
    params: TrainingParams
    timestamp: Annotated[str, TIME]
    train_type: str
    sagemaker_train_name: str
    creator: str
    logs: tuple[LinkedFile, ...]
    samples: tuple[LinkedFile, ...]
    metrics: Annotated[tuple[Metric, ...], About("Thinned out where there are very many.")]
    checkpoint_id: Annotated[str, UUID, About("The LoRA, once it is made.")] | None
    result: Annotated[Mapping[str, Any], About("What was made, as the container tells it.")] | None
    completed: Annotated[str, TIME] | None = None
    error: Annotated[str, About("Why it failed.")] | None = None


class StoppedTraining(Value):
    """A training that will not run to its end."""

    id: Annotated[str, UUID]
    status: WorkStatus
