"""Learn, measure, write; and stop or go on at any step."""

import json
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from gpt_neo import cache, checkpoints, metrics, network, schedule, tokens
from gpt_neo.corpus import Corpus
from gpt_neo.errors import Failure, Stopped
from gpt_neo.metrics import Score, say
from gpt_neo.settings import Settings
from gpt_neo.stopping import Stopping

#: What may differ between a job and the checkpoint it goes on from: none of it changes what is learned.
FREE = frozenset({"evaluations", "log_every", "checkpoint_every", "threads"})


@dataclass
class Progress:
    """How far a job is, across interruptions."""

    step: int = 0
    seconds: float = 0.0
    untrained: dict[str, Any] | None = None
    since: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Return the seconds spent so far, before and after an interruption."""
        return self.seconds + time.monotonic() - self.since


class Training:
    """One model on its way from random weights, or from a checkpoint, to the last step."""

    def __init__(
        self, chosen: Settings, text: Corpus, folder: Path, scratch: Path, shared: Path | None = None
    ) -> None:
        self.settings, self.text, self.folder = chosen, text, folder
        self.device = network.device(chosen.threads)
        saved = self._saved()
        known = saved["tokenizer"] if saved else None
        prepared = cache.prepare(
            text.training, chosen.vocab_size, scratch=scratch, shared=shared, known=known
        )
        self.tokenizer, ids = prepared.tokenizer, prepared.ids
        self.order = tokens.Order(ids, context=chosen.context, batch_size=chosen.batch_size, seed=chosen.seed)
        self.held_out = tokens.encode(self.tokenizer, text.held_out)
        self.model = network.fresh(
            chosen, vocab_size=self.tokenizer.get_vocab_size(), end=tokens.end(self.tokenizer)
        ).to(self.device)
        self.optimizer = _optimizer(self.model, chosen)
        self.progress = Progress()
        self.score: Score | None = None
        self._describe(len(ids))
        if saved:
            self._restore(saved)

    def learn(self, stopping: Stopping) -> None:
        """Take every step that is left; SIGTERM leaves a checkpoint."""
        self._measure_untrained()
        self.model.train()
        evaluations = schedule.milestones(self.settings.steps, self.settings.evaluations)
        timer, logged = time.monotonic(), self.progress.step
        while self.progress.step < self.settings.steps:
            if stopping.requested:
                path = self._save()
                done = f"{self.progress.step} of {self.settings.steps}"
                raise Stopped(f"after step {done}; {path.name} goes on from there")
            loss = self._step(self.progress.step)
            self.progress.step += 1
            if self._is_due(self.settings.log_every):
                speed = (self.progress.step - logged) * self._tokens_per_step() / (time.monotonic() - timer)
                self._log(loss, speed)
                timer, logged = time.monotonic(), self.progress.step
            if self.progress.step in evaluations:
                self._measure()
            if self._is_due(self.settings.checkpoint_every):
                self._save()

        if self.score is None:  # resumed when nothing but this was left to do
            self._measure()

    def write(self, folder: Path) -> None:
        """Leave the model, its tokenizer and its metrics in *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        network.save(self.model.eval().cpu(), folder)
        self.tokenizer.save(str(folder / "tokenizer.json"))
        described = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokens.END,
            "eos_token": tokens.END,
        }
        _write_json(folder / "tokenizer_config.json", described | {"model_max_length": self.settings.context})
        _write_json(folder / "metrics.json", self._metrics())
        say(f"done steps={self.progress.step} seconds={self.progress.elapsed():.1f}")

    def _step(self, step: int) -> float:
        """Take one optimizer step and return its loss."""
        rate = schedule.rate(
            step,
            steps=self.settings.steps,
            peak=self.settings.learning_rate,
            warmup=self.settings.warmup,
            floor=self.settings.floor,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        windows = torch.from_numpy(self.order.batch(step)).to(self.device)
        with self._arithmetic():
            loss = network.loss(self.model, windows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        return metrics.finite(loss.item(), step + 1)

    def _arithmetic(self) -> Any:
        if self.settings.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _measure_untrained(self) -> None:
        """Score the random weights once, so that the log and the metrics say what was gained."""
        if self.progress.untrained is None:
            self.progress.untrained = asdict(self._evaluate())
        untrained = Score(**self.progress.untrained)
        say(metrics.score_line("untrained", 0, self.settings.steps, untrained))

    def _measure(self) -> None:
        self.score = self._evaluate()
        say(metrics.score_line("validation", self.progress.step, self.settings.steps, self.score))

    def _evaluate(self) -> Score:
        size = sum(len(each.encode()) for each in self.text.held_out)
        return network.evaluate(self.model, self.held_out, context=self.settings.context, size=size)

    def _is_due(self, every: int) -> bool:
        return self.progress.step % every == 0 or self.progress.step == self.settings.steps

    def _tokens_per_step(self) -> int:
        return self.settings.batch_size * self.settings.context

    def _log(self, loss: float, speed: float) -> None:
        rate = self.optimizer.param_groups[0]["lr"]
        say(metrics.train_line(self.progress.step, self.settings.steps, loss, speed, rate))

    def _describe(self, ids: int) -> None:
        say(
            f"model parameters={network.parameters(self.model)} vocabulary={self.tokenizer.get_vocab_size()} "
            f"device={self.device.type} precision={self.settings.precision} threads={torch.get_num_threads()}"
        )
        say(
            f"data sha256={self.text.sha256} training_tokens={ids} held_out_tokens={len(self.held_out)} "
            f"windows={self.order.windows}"
        )

    def _save(self) -> Path:
        """Write down all that the next step depends on; the order of the data follows from the step."""
        state = {
            "step": self.progress.step,
            "seconds": self.progress.elapsed(),
            "untrained": self.progress.untrained,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "tokenizer": self.tokenizer.to_str(),
            "settings": asdict(self.settings),
            "data": self.text.sha256,
        }
        return checkpoints.save(self.folder, self.progress.step, state)

    def _saved(self) -> dict[str, Any] | None:
        """Find the checkpoint to go on from; one of another job is a mistake to report, not to learn on."""
        saved = checkpoints.newest(self.folder)
        if saved is None:
            return None
        now = asdict(self.settings)
        changed = [name for name in now if name not in FREE and saved["settings"].get(name) != now[name]]
        changed += ["the training data"] if saved["data"] != self.text.sha256 else []
        if changed:
            raise Failure(
                f"the checkpoints belong to another job: {', '.join(changed)} changed since; "
                "give this job a checkpoint location of its own"
            )
        return saved

    def _restore(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["random"])
        if saved["random_cuda"]:
            torch.cuda.set_rng_state_all(saved["random_cuda"])
        self.progress = Progress(step=saved["step"], seconds=saved["seconds"], untrained=saved["untrained"])
        say(f"resumed after step {saved['step']} of {self.settings.steps}")

    def _metrics(self) -> dict[str, Any]:
        after, before = self.score or self._evaluate(), Score(**self.progress.untrained or {})
        return {
            "perplexity_before": before.perplexity,
            "perplexity_after": after.perplexity,
            "bits_per_byte_before": before.bits_per_byte,
            "bits_per_byte": after.bits_per_byte,
            "held_out_bytes": after.bytes,
            "held_out_tokens": after.tokens,
            "steps": self.progress.step,
            "tokens": self.progress.step * self._tokens_per_step(),
            "seconds": round(self.progress.elapsed(), 3),
            "data_sha256": self.text.sha256,
            "parameters": network.parameters(self.model),
            "vocabulary": self.tokenizer.get_vocab_size(),
            "hyperparameters": asdict(self.settings),
        }


def _optimizer(model: torch.nn.Module, chosen: Settings) -> torch.optim.Optimizer:
    """Decay matrices only: biases and norms have no reason to shrink."""
    matrices = [each for each in model.parameters() if each.dim() > 1]
    others = [each for each in model.parameters() if each.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": chosen.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=chosen.learning_rate, betas=(0.9, 0.95))


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
