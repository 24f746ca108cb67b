"""What SageMaker laid out for a job: the task, its configuration, and the folders of its channels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion.errors import Failure

#: What SageMaker's own tools add to every job's hyperparameters; no concern of ours.
PLATFORM_PREFIX = "sagemaker_"
SUFFIX = ".safetensors"
MODELS = ("model", "model2", "model3")


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A checkpoint that a job works on: the name people know, and its digest if that is known."""

    name: str
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The folders of /opt/ml that a job reads."""

    base: Path

    def task(self, known: Mapping[str, Any]) -> str:
        """Read which task this is; a hyperparameter of another name is a mistake."""
        given = _object(self.base / "input" / "config" / "hyperparameters.json")
        given = {name: value for name, value in given.items() if not name.startswith(PLATFORM_PREFIX)}
        task = str(given.pop("task", "")).strip().strip('"')
        if given:
            raise Failure(f"unknown hyperparameter {', '.join(sorted(given))}; the only one is task")
        if task not in known:
            raise Failure(f"hyperparameter task={task!r} must be one of {', '.join(known)}")
        return task

    def is_alone(self) -> None:
        """Refuse several instances: each would do the same, and all would write the same file."""
        path = self.base / "input" / "config" / "resourceconfig.json"
        hosts = _object(path).get("hosts", []) if path.exists() else []
        if len(hosts) > 1:
            raise Failure(
                f"this container works on one instance, not on {len(hosts)}: set InstanceCount to 1"
            )

    def config(self) -> Mapping[str, Any]:
        """Read the request that this job was made from."""
        found = sorted(self.folder("config").rglob("*.json"))
        if len(found) != 1:
            raise Failure(f"channel config must hold one JSON file, not {len(found)}")
        return _object(found[0])

    def folder(self, name: str) -> Path:
        """Return the folder of a channel."""
        folder = self.base / "input" / "data" / name
        if not folder.is_dir():
            raise Failure(f"this job has no channel {name}; give it one in InputDataConfig")
        return folder

    def model(self, number: int) -> Path:
        """Return the one checkpoint of a model channel."""
        folder = self.folder(MODELS[number])
        found = sorted(each for each in folder.rglob("*") if each.suffix.lower() == SUFFIX)
        if len(found) != 1:
            raise Failure(f"channel {MODELS[number]} must hold one {SUFFIX} file, not {len(found)}")
        return found[0]

    def models(self, config: Mapping[str, Any]) -> list[Parent]:
        """Say what each model channel holds: as the configuration does, or by the file's name."""
        listed = config.get("models")
        if listed is None:
            present = [each for each in MODELS if (self.base / "input" / "data" / each).is_dir()]
            return [Parent(name=self.model(number).name) for number in range(len(present))]
        try:
            return [Parent(name=str(each["name"]), sha256=each.get("sha256")) for each in listed]
        except (TypeError, KeyError, AttributeError):
            raise Failure('config.json: models must be a list of {"name": ..., "sha256": ...}') from None


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Failure(f"{path.name} is missing") from None
    except (ValueError, RecursionError) as error:
        raise Failure(f"{path.name} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Failure(f"{path.name} must hold one JSON object")
    return found
