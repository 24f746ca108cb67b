"""Rendering: every template as a JSON file, the same bytes from the same source."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from troposphere import Template

from atelier.pipelines import training as training_pipeline
from atelier.pipelines import webui as webui_pipeline
from atelier.templates import (
    account,
    docs_site,
    fleet_images,
    github_oidc,
    middleware_api,
    middleware_images,
    middleware_jobs,
    middleware_state,
    middleware_work,
    network,
    notebook,
    registry,
    serving_api,
    serving_fleet,
    shared_models,
    shared_storage,
    storage,
    training_flow,
    webui_state,
    workstation,
)

TEMPLATES: Mapping[str, Callable[[], Template]] = {
    "storage": storage.template,
    "account": account.template,
    "registry": registry.template,
    "network": network.template,
    "shared-storage": shared_storage.template,
    "training-pipeline": training_pipeline.template,
    "training-flow": training_flow.template,
    "serving-api": serving_api.template,
    "middleware-state": middleware_state.template,
    "middleware-images": middleware_images.template,
    "middleware-jobs": middleware_jobs.template,
    "middleware-work": middleware_work.template,
    "middleware-api": middleware_api.template,
    "webui-state": webui_state.template,
    "webui-pipeline": webui_pipeline.template,
    "workstation": workstation.template,
    "docs-site": docs_site.template,
    "github-oidc": github_oidc.template,
    "notebook": notebook.template,
    "fleet-images": fleet_images.template,
    "shared-models": shared_models.template,
    "serving-fleet": serving_fleet.template,
}
"""All stacks by name, in the order in which they first come to be."""


def text(name: str) -> str:
    """Return one template as JSON."""
    return json.dumps(TEMPLATES[name]().to_dict(), indent=1, sort_keys=True) + "\n"


def render(out: Path) -> list[Path]:
    """Write every template to the folder *out*, and return the files."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name in TEMPLATES:
        path = out / f"{name}.json"
        path.write_text(text(name), encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    render(Path(sys.argv[1] if len(sys.argv) > 1 else "build/templates"))
