"""What a merge says of itself: A's words, the recipe, and its parents, as the WebUI writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from .checkpoint import Checkpoint
from .hashes import Hashes
from .plan import Report
from .recipe import TITLES, Recipe

RECIPE, MODELS = "sd_merge_recipe", "sd_merge_models"
#: What is true of A's file alone.
OWN = ("sshs_", "modelspec.hash_sha256")
PLACES = ("primary", "secondary", "tertiary")


def written(
    recipe: Recipe,
    name: str,
    parents: "Sequence[tuple[Checkpoint, Hashes | None]]",
    report: Report,
) -> "dict[str, str]":
    """Return the metadata of a merge called *name*."""
    first = parents[0][0].metadata
    kept = {key: value for key, value in first.items() if not key.startswith(OWN)}
    hashes = [None if each is None else each.sha256 for _, each in parents] + [None] * 3
    told = {
        "type": "atelier",
        **{f"{place}_model_hash": hashes[at] for at, place in enumerate(PLACES)},
        "interp_method": TITLES[recipe.method],
        "multiplier": recipe.multiplier,
        "save_as_half": recipe.precision == "fp16",
        "precision": recipe.precision,
        "custom_name": name,
        "is_inpainting": report.kind == "inpainting",
        "is_instruct_pix2pix": report.kind == "instruct-pix2pix",
    }
    return {**kept, "format": "pt", RECIPE: json.dumps(told), MODELS: json.dumps(_models(parents))}


def _models(parents: "Sequence[tuple[Checkpoint, Hashes | None]]") -> "dict[str, Any]":
    """Return what is known of every checkpoint that went into this one, and into those."""
    found: dict[str, Any] = {}
    for checkpoint, hashes in parents:
        if hashes is not None:
            name = PurePath(checkpoint.name).name
            own = {"name": name, "legacy_hash": hashes.legacy, RECIPE: _object(checkpoint.metadata, RECIPE)}
            found = {**(_object(checkpoint.metadata, MODELS) or {}), **found, hashes.sha256: own}
    return found


def _object(metadata: "Mapping[str, str]", key: str) -> "dict[str, Any] | None":
    """Read what another merge wrote; what is no JSON object says nothing."""
    try:
        found = json.loads(metadata.get(key, "null"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
