"""Digests: the sha256 of a checkpoint's file, computed when the file is in place."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from atelier.contract import keys
from atelier.lambdas.ports.checkpoints import Checkpoints, Contents
from atelier.lambdas.services.middleware.access import settled


def keep(key: str, *, checkpoints: Checkpoints, contents: Contents) -> str | None:
    """Keep the digest of a file and return it; None when it is not of a checkpoint, or is gone."""
    id = owner(key)
    if id is None or checkpoints.get(id) is None:
        return None
    digest = contents.sha256(key)
    if digest is None:
        return None
    settled(partial(_keep, id, key, digest, checkpoints))
    return digest


def owner(key: str) -> str | None:
    """Return the id of the checkpoint that a key is of."""
    parts = key.removeprefix(keys.CHECKPOINTS).split("/")
    return parts[1] if key.startswith(keys.CHECKPOINTS) and len(parts) > 2 and all(parts) else None


def _keep(id: str, key: str, digest: str, checkpoints: Checkpoints) -> None:
    was = checkpoints.get(id)
    file = next((each for each in was.files if each.key == key), None) if was else None
    if was is None or file is None or file.sha256 == digest:
        return
    checkpoints.save(was.with_file(replace(file, sha256=digest)), was=was)
