"""Learn a LoRA, measure, paint, keep; and stop or go on at any step with an equal result."""

import random
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from diffusion import checkpoints, lora_file, lora_metadata, models, objective, samples, schedule
from diffusion.channels import Parent
from diffusion.conditioning import Reader
from diffusion.dataset import Dataset
from diffusion.errors import Failure, Invalid, Stopped
from diffusion.job import Job
from diffusion.latents import Latents
from diffusion.lora import Network
from diffusion.models import Place
from diffusion.order import Look, Order
from diffusion.recipe import Recipe
from diffusion.report import now

#: A machine that is gone without a word loses no more than so much work.
KEEP_SECONDS = 120.0
MOST_METRICS, MOST_LINES = 2000, 200
MOST_CAPTIONS = 512
SUFFIX = ".safetensors"


@dataclass
class Progress:
    """How far a job is, across interruptions."""

    step: int = 0
    published: int = 0
    started: str = field(default_factory=now)
    loss_first: float | None = None
    loss_last: float | None = None
    samples: list[str] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)


class Training:
    """One LoRA on its way from nothing, or from a checkpoint, to the last step."""

    def __init__(self, job: Job, recipe: Recipe, found: Dataset, base: Path, parent: Parent) -> None:
        self._job, self._recipe, self._parent = job, recipe, parent
        self._say = job.report.say
        models.quiet()
        self._model = models.load(base, place(recipe))
        for network in (self._model.unet, self._model.text, self._model.vae):
            network.requires_grad_(False)
        if recipe.gradient_checkpointing:
            self._model.unet.enable_gradient_checkpointing()
        self._reader = Reader(self._model, recipe.clip_skip)
        self._latents = Latents(found, recipe, job.scratch, pause=job.pause)
        self._latents.fill(self._model, self._say)
        self._order = Order(self._latents.looks, recipe)
        unet, text = recipe.rates
        self._network = Network.fresh(
            self._model,
            rank=recipe.network_dim,
            alpha=recipe.alpha,
            dropout=recipe.network_dropout,
            unet=unet > 0,
            text=text > 0,
            seed=recipe.seed,
        )
        self._optimizer = _optimizer(self._network, recipe)
        is_half = self._model.place.dtype == torch.float16
        self._scaler = torch.amp.GradScaler(self._model.place.device.type, enabled=is_half)
        self._captions: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._folder = job.channels.base / "checkpoints"
        self._progress = Progress()
        self._describe()
        self._restore()

    def learn(self) -> None:
        """Take every step that is left; SIGTERM leaves a checkpoint."""
        kept = time.monotonic()
        try:
            while True:
                self._publish_if_due()
                self._job.pause("between two steps")
                if self._progress.step == self._order.steps:
                    return
                self._step()
                if time.monotonic() - kept > KEEP_SECONDS:
                    self._keep()
                    kept = time.monotonic()
        except Stopped:
            path = self._keep()
            done = f"{self._progress.step} of {self._order.steps}"
            raise Stopped(f"after step {done}; {path.name} goes on from there") from None

    def finish(self) -> dict[str, Any]:
        """Write the LoRA, send it, and tell what it is."""
        path = self._job.scratch / f"{self._recipe.output_name}{SUFFIX}"
        metadata = self._write(path, self._order.epochs)
        delivered = self._job.deliver(path, {"hash": lora_file.shown_hash(path, metadata)})
        self._say(f"done: {delivered['size']} bytes after {self._progress.step} steps")
        told = {name: getattr(self._progress, name)
                for name in ("loss_first", "loss_last", "samples", "checkpoints")}  # fmt: skip
        return {
            **delivered,
            "hash": lora_file.shown_hash(path, metadata),
            "metadata": metadata,
            "steps": self._progress.step,
            "epochs": self._order.epochs,
            "images": len(self._latents.looks),
            "skipped": [asdict(each) for each in self._latents.skipped],
            **told,
        }

    def _step(self) -> None:
        """Take one step of the optimizer and measure it."""
        step = self._progress.step
        share = schedule.share(self._recipe, step, self._order.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = group["highest"] * share
        draw = random.Random(f"{self._recipe.seed} step {step}")
        torch.manual_seed(draw.getrandbits(63))
        self._network.train(True)
        batches, loss = self._order.at(step), 0.0
        for batch in batches:
            part = self._loss(batch, draw) / len(batches)
            self._scaler.scale(part).backward()
            loss += part.item()
        self._progress.step = step + 1
        if loss != loss or loss == float("inf"):
            raise Failure(
                f"the loss is no number at step {step + 1}: lower learning_rate, train in bf16, or take "
                "another checkpoint, if this one's weights are broken"
            )
        if self._recipe.max_grad_norm:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.max_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._tell(loss)

    def _loss(self, batch: list[Look], draw: random.Random) -> torch.Tensor:
        """Compare the noise that was added to a batch with the noise that the network sees in it."""
        noise = torch.Generator("cpu").manual_seed(draw.getrandbits(63))
        clean = torch.stack([self._latents.draw(each, noise) for each in batch])
        meaning = torch.cat([self._meaning(self._order.caption(each, draw)) for each in batch])
        return objective.loss(self._model, clean, meaning, self._recipe, noise)

    def _meaning(self, caption: str) -> torch.Tensor:
        """Read a caption; what does not change is read once."""
        if len(self._network.text):
            return self._reader.plain(caption, self._recipe.max_token_length)
        if caption not in self._captions:
            with torch.no_grad():
                self._captions[caption] = self._reader.plain(caption, self._recipe.max_token_length)
        self._captions.move_to_end(caption)
        while len(self._captions) > MOST_CAPTIONS:
            self._captions.popitem(last=False)
        return self._captions[caption]

    def _tell(self, loss: float) -> None:
        step, steps, progress = self._progress.step, self._order.steps, self._progress
        progress.loss_first = loss if progress.loss_first is None else progress.loss_first
        progress.loss_last = loss
        rate, epoch = self._optimizer.param_groups[0]["lr"], self._order.epoch(step - 1) + 1
        if step % -(-steps // MOST_METRICS) == 0 or step == steps:
            self._job.report.metric({"step": step, "epoch": epoch, "loss": loss, "lr": rate})
        if step % -(-steps // MOST_LINES) == 0 or step == steps:
            self._say(f"step {step} of {steps}, epoch {epoch}: loss={loss:.6f} lr={rate:.3g}")

    def _publish_if_due(self) -> None:
        """Paint samples, and keep the LoRA, at the end of the epochs that were asked for and of the last."""
        step, every = self._progress.step, self._recipe.save_every_n_epochs
        is_last, whole = step == self._order.steps, not step % self._order.steps_per_epoch
        epoch = self._order.epochs if is_last else self._order.epoch(step)
        is_due = is_last or bool(whole and every and step and epoch % every == 0)
        if not is_due or self._progress.published == epoch:
            return
        self._network.train(False)
        if not is_last:
            name = f"checkpoints/{self._recipe.output_name}-{epoch:06d}{SUFFIX}"
            self._write(self._job.report.path(name), epoch)
            self._job.report.sent(name)
            _once(self._progress.checkpoints, name)
        try:
            self._paint(epoch)
        except Invalid as error:  # what was learned is worth more than a picture of it
            self._say(f"warning: a sample cannot be painted: {error}")
        self._progress.published = epoch
        self._keep()

    def _paint(self, epoch: int) -> None:
        painter = samples.Samples(self._model, self._recipe, self._parent)
        for number, (prompt, png) in enumerate(
            painter.paint(self._latents.looks[0].picture.caption, self._is_stopping)
        ):
            name = f"samples/{epoch:06d}-{number}.png"
            self._job.report.keep(name, png)
            _once(self._progress.samples, name)
            self._say(f"painted {name}: {prompt[:100]}")

    def _is_stopping(self) -> bool:
        return self._job.stopping.requested

    def _write(self, path: Path, epoch: int) -> dict[str, str]:
        metadata = {
            **lora_metadata.of_recipe(self._recipe),
            **lora_metadata.of_job(self._order, self._latents.looks, self._parent, self._progress.started),
            "ss_epoch": str(epoch),
            "ss_steps": str(self._progress.step),
        }
        return lora_file.write(path, self._network.tensors(), self._recipe.save_precision, metadata)

    def _describe(self) -> None:
        sizes = sorted({f"{each.bucket.width}x{each.bucket.height}" for each in self._latents.looks})
        learned = sum(each.numel() for each in self._network.parameters())
        place = self._model.place
        self._say(
            f"{len(self._latents.looks)} images in {', '.join(sizes)}; {self._order.steps} steps in "
            f"{self._order.epochs} epochs; {learned} numbers to learn on {place.device.type}"
        )

    def _identity(self) -> dict[str, Any]:
        """Say what must be the same for a job that goes on."""
        seen = [(each.picture.name, each.picture.caption, each.offset) for each in self._latents.looks]
        return {
            "config_params": {name: str(value) for name, value in asdict(self._recipe).items()},
            "the dataset": [str(each) for each in seen],
            "the model": self._parent.sha256,
        }

    def _keep(self) -> Path:
        """Write down all that the next step depends on; the rest follows from the step."""
        state = {
            "progress": asdict(self._progress),
            "network": {name: each.detach().cpu() for name, each in self._network.tensors().items()},
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "metrics": self._job.report.metrics(),
            "identity": self._identity(),
        }
        return checkpoints.save(self._folder, self._progress.step, state)

    def _restore(self) -> None:
        """Go on from the newest checkpoint; one of another job is a mistake to report, not to learn on."""
        saved = checkpoints.newest(self._folder, self._say)
        if saved is None:
            return
        own = self._identity()
        if changed := [name for name in own if saved["identity"].get(name) != own[name]]:
            raise Failure(
                f"the checkpoints belong to another training: {', '.join(changed)} changed since; "
                "give this one a checkpoint location of its own"
            )
        self._network.restore(saved["network"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self._scaler.load_state_dict(saved["scaler"])
        self._progress = Progress(**saved["progress"])
        self._job.report.restore(saved["metrics"])
        self._say(f"resumed after step {self._progress.step} of {self._order.steps}")


def place(recipe: Recipe) -> Place:
    """Choose where to compute, and in what precision."""
    here, asked = Place.here(), recipe.mixed_precision
    if asked == "auto":
        return here
    if asked == "fp16" and here.device.type == "cpu":
        raise Failure(
            "params.config_params.mixed_precision fp16 needs a GPU: take an instance with one, or auto"
        )
    return Place(
        device=here.device, dtype={"no": torch.float32, "bf16": torch.bfloat16}.get(asked, here.dtype)
    )


def _optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    rates = dict(zip(("unet", "text"), recipe.rates, strict=True))
    groups = [
        {"params": [*getattr(network, name).parameters()], "lr": rate, "highest": rate}
        for name, rate in rates.items()
        if rate
    ]
    kind: Any = getattr(torch.optim, recipe.optimizer_type)
    optimizer: torch.optim.Optimizer = kind(groups, weight_decay=recipe.weight_decay)
    return optimizer


def _once(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)
