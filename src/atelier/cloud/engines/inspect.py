"""What `docker inspect` shows of an image, and the Go templates in common use."""

from __future__ import annotations

import json
import re
from typing import Any

from atelier.cloud.engines.images import Image, ImageError, ImageStore

ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
PATH = re.compile(r"\.|(?:\.\w+)+")
INDEX = re.compile(r'index\s+(\.[\w.]*)((?:\s+(?:\d+|"[^"]*"))+)')


def document(store: ImageStore, image: Image) -> dict[str, Any]:
    """Return an image as `docker inspect` lists it."""
    names = [name for name in store.local.all() if name[2] == image.digest and name[0]]
    config = image.config
    return {
        "Id": image.id,
        "RepoTags": [f"{name}:{tag}" for name, tag, _ in names if not tag.startswith("sha256:")],
        "RepoDigests": [f"{name}@{tag}" for name, tag, _ in names if tag.startswith("sha256:")],
        "Created": config["created"],
        "Architecture": config["architecture"],
        "Os": config["os"],
        "Size": sum(layer.size for layer in image.layers),
        "Config": config["config"],
        "RootFS": {"Type": "layers", "Layers": config["rootfs"]["diff_ids"]},
    }


def render(template: str, value: dict[str, Any]) -> str:
    """Fill a template: ``{{.A.B}}``, ``{{json .A}}`` and ``{{index .A 0}}``, with or without ``json``."""
    if len(re.findall(r"\{\{", template)) != len(ACTION.findall(template)):
        raise ImageError(f"template parsing error: {template!r}: an action is not closed")
    return ACTION.sub(lambda match: _action(match[1], value), template)


def _action(action: str, value: dict[str, Any]) -> str:
    as_json = re.match(r"json\s+", action)
    expression = action[as_json.end() :] if as_json else action
    expression = re.sub(r"^\((.*)\)$", r"\1", expression)
    found = _evaluate(expression, value)
    if as_json:
        return json.dumps(found, separators=(",", ":"))
    return found if isinstance(found, str) else _go(found)


def _evaluate(expression: str, value: Any) -> Any:
    if PATH.fullmatch(expression):
        return _follow(expression, value)
    match = INDEX.fullmatch(expression)
    if match is None:
        raise ImageError(
            f"template parsing error: {{{{{expression}}}}} is not supported by the process engine"
        )
    found = _follow(match[1], value)
    for key in re.findall(r'\d+|"[^"]*"', match[2]):
        found = _at(found, key)
    return found


def _follow(path: str, value: Any) -> Any:
    for name in path.split(".")[1:]:
        if not name:
            continue
        if not isinstance(value, dict) or name not in value:
            raise ImageError(f"template: {path}: no entry for key {name!r}")
        value = value[name]
    return value


def _at(found: Any, key: str) -> Any:
    if key.startswith('"'):
        return (found or {}).get(key.strip('"'), "")
    if not isinstance(found, list) or int(key) >= len(found):
        raise ImageError(f"template: index out of range: {key}: has the image been pushed?")
    return found[int(key)]


def _go(found: Any) -> str:
    """Return a value as Go prints it."""
    if isinstance(found, list):
        return f"[{' '.join(map(str, found))}]"
    if isinstance(found, dict):
        return f"map[{' '.join(f'{key}:{each}' for key, each in sorted(found.items()))}]"
    return "<no value>" if found is None else str(found)
