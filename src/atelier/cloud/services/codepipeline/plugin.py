"""What CodePipeline plugs into the gateway."""

from __future__ import annotations

import json

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.codepipeline import definitions, executions, views
from atelier.cloud.services.codepipeline.resource import PIPELINE
from atelier.cloud.services.codepipeline.service import SERVICE, begin
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.wire import Document

OPERATIONS = (definitions, executions, views)
"""The modules whose functions register on the service when they are imported."""

INPUT = frozenset({"variables", "sourceRevisions"})


def start_by_event(cloud: Cloud, target_arn: str, target: Document, event: Document) -> None:
    """Start the pipeline that a rule names, once per event; its Input may give revisions and variables."""
    for name in ("InputTransformer", "InputPath"):
        if target.get(name):
            raise Refused(f"Unsupported: {name} of a pipeline target is not part of the local cloud")
    given = json.loads(target.get("Input") or "{}")
    if unknown := sorted(given.keys() - INPUT):
        raise Refused(f"Unsupported: {unknown[0]} in the Input of a pipeline target")
    begin(
        cloud,
        target_arn.rsplit(":", 1)[-1],
        trigger="CloudWatchEvent",
        detail=event.get("detail-type", ""),
        given=given,
        token=f"{event['id']}-{target['Id']}" if "id" in event and "Id" in target else "",
    )


PLUGIN = Plugin(scope="codepipeline", service=SERVICE, resources=(PIPELINE,), event_target=start_by_event)
