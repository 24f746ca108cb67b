"""Tiny images for tests: built by the process engine's builder, pushed through ECR's API."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atelier.cloud.engines import registry
from atelier.cloud.engines.build import Order, build
from atelier.cloud.engines.images import Image, ImageStore, Reference
from atelier.cloud.engines.layers import Layers
from atelier.cloud.gateway import launch

DOCKERFILE = "FROM python:3.11-slim-bookworm\nWORKDIR /opt/program\nCOPY . .\n"


def cache() -> Path:
    """The shared cache of dependency layers: tests share it as clouds do."""
    return launch.default_cache()


def make(
    home: Path, files: Mapping[str, str], entrypoint: Sequence[str] = (), dockerfile: str = DOCKERFILE
) -> Image:
    """Build an image of *files* in WORKDIR that runs *entrypoint*."""
    ending = f"ENTRYPOINT {json.dumps(list(entrypoint))}\n" if entrypoint else ""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        recipe = Path(folder, "Dockerfile")
        recipe.write_text(dockerfile + ending)
        Path(folder, ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
        order = Order(context=Path(folder), dockerfile=recipe)
        return build(order, store=ImageStore(home), layers=Layers(cache()), log=lambda line: None)


def push(
    cloud: Any,
    name: str,
    files: Mapping[str, str],
    entrypoint: Sequence[str] = (),
    *,
    tag: str = "latest",
    dockerfile: str = DOCKERFILE,
) -> str:
    """Build an image and push it to the repository *name*, made if missing; return its URI with digest.

    *cloud* is the `cloud` fixture, or anything with `home` and `client("ecr")`.
    """
    ecr = cloud.client("ecr")
    try:
        uri = ecr.create_repository(repositoryName=name)["repository"]["repositoryUri"]
    except ecr.exceptions.RepositoryAlreadyExistsException:
        uri = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
    image = make(cloud.home, files, entrypoint, dockerfile)
    digest = registry.push(ecr, ImageStore(cloud.home), image, Reference(uri, tag), lambda line: None)
    return f"{uri}@{digest}"
