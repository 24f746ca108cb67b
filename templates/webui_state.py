"""WebUI state: the images of the WebUI with our extension, and the history of how they came to be."""

from __future__ import annotations

import json

from troposphere import GetAtt, Output, Ref, Sub, Template, ecr

from atelier.contract import tables, webui
from atelier.templates import parts
from atelier.templates.middleware_state import PROTECTION, indexed

PARAMETERS = webui.parameters("${Prefix}")
FORGOTTEN_DAYS = 14
KEPT_IMAGES = 50
"""More than anyone goes back; one image has some gigabytes."""


def template() -> Template:
    """Render the stack of what outlives the WebUI's pipeline."""
    t = parts.stack(__doc__ or "", parts.PREFIX, PROTECTION)
    images = t.add_resource(image_repository())
    history = t.add_resource(indexed("WebuiHistory", tables.WEBUI_HISTORY))
    t.add_output(Output("WebuiRepositoryName", Value=Ref(images)))
    t.add_output(Output("WebuiRepositoryUri", Value=GetAtt(images, "RepositoryUri")))
    t.add_output(Output("WebuiHistoryTableName", Value=Ref(history)))
    t.add_output(Output("WebuiImageParameter", Value=Sub(f"{PARAMETERS}/{webui.IMAGE}")))
    return parts.tagged(t, "webui-state")


def image_repository() -> ecr.Repository:
    """Keep images; a tag names the commits that an image is made of, upstream's and ours, and never moves."""
    rules = [
        _forget("untagged", "sinceImagePushed", countNumber=FORGOTTEN_DAYS, countUnit="days"),
        _forget("any", "imageCountMoreThan", countNumber=KEPT_IMAGES),
    ]
    numbered = [{"rulePriority": place, **each} for place, each in enumerate(rules, 1)]
    return ecr.Repository(
        "WebuiImages",
        RepositoryName=Sub("${Prefix}/webui"),
        ImageTagMutability="IMMUTABLE",
        ImageScanningConfiguration=ecr.ImageScanningConfiguration(ScanOnPush=True),
        LifecyclePolicy=ecr.LifecyclePolicy(LifecyclePolicyText=json.dumps({"rules": numbered})),
        DeletionPolicy="Retain",
        UpdateReplacePolicy="Retain",
    )


def _forget(tags: str, counted: str, **most: object) -> dict[str, object]:
    selection = {"tagStatus": tags, "countType": counted, **most}
    return {"selection": selection, "action": {"type": "expire"}}
