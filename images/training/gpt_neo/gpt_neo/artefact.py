"""What a finished training job leaves for an endpoint, looked at before torch is imported."""

import json
from pathlib import Path
from typing import Any

from gpt_neo.errors import Failure

NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
TOLD = {
    "data_sha256": "data_sha256",
    "steps": "steps",
    "perplexity": "perplexity_after",
    "bits_per_byte": "bits_per_byte",
    "parameters": "parameters",
}


def configuration(folder: Path) -> dict[str, Any]:
    """Read the shape of the model in *folder*; refuse one this container cannot serve."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise Failure(f"no model in {folder}: {', '.join(missing)} missing")
    read: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind, activation = read.get("model_type"), read.get("activation_function")
    if (kind, activation) != ("gpt_neo", "gelu_new"):
        raise Failure(f"{folder} holds {kind} with {activation}; this container serves gpt_neo with gelu_new")
    return read


def about(folder: Path) -> dict[str, Any]:
    """Pick from the metrics of training what tells one model from another."""
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: metrics[source] for name, source in TOLD.items() if source in metrics}
