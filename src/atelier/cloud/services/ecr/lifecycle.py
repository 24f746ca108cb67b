"""Lifecycle policies: which images expire. They apply when a policy or an image is put, and at start."""

from __future__ import annotations

import fnmatch
import json
from datetime import UTC, datetime, timedelta

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecr import catalogue, notices
from atelier.cloud.services.ecr.service import SERVICE, known, repositories, repository, repository_arn
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

SELECTION = {"tagStatus", "tagPrefixList", "tagPatternList", "countType", "countUnit", "countNumber"}

Rule = Document


@SERVICE.operation("PutLifecyclePolicy", on=repository_arn)
def put_lifecycle_policy(cloud: Cloud, request: Document) -> Document:
    """Keep a policy and apply it."""
    record = repository(cloud, request)
    policy = {"lifecyclePolicyText": request["lifecyclePolicyText"]}
    rules(request["lifecyclePolicyText"])
    repositories(cloud).change(record["repositoryName"], **policy)
    apply(cloud, record["repositoryName"])
    return {**known(cloud, record), **policy}


def _kept(cloud: Cloud, request: Document) -> Document:
    record = repository(cloud, request)
    if not record.get("lifecyclePolicyText"):
        raise ServiceError(
            "LifecyclePolicyNotFoundException",
            f"Lifecycle policy does not exist for the repository with name '{record['repositoryName']}'",
        )
    members = ("lifecyclePolicyText", "lastEvaluatedAt")
    return {**known(cloud, record), **{name: record.get(name) for name in members}}


@SERVICE.operation("GetLifecyclePolicy", on=repository_arn)
def get_lifecycle_policy(cloud: Cloud, request: Document) -> Document:
    """Return a repository's policy."""
    return _kept(cloud, request)


@SERVICE.operation("DeleteLifecyclePolicy", on=repository_arn)
def delete_lifecycle_policy(cloud: Cloud, request: Document) -> Document:
    """Forget a repository's policy."""
    kept = _kept(cloud, request)
    repositories(cloud).change(kept["repositoryName"], lifecyclePolicyText=None)
    return kept


def rules(text: str) -> list[Rule]:
    """Return a policy's rules by priority; raise ServiceError for one that cannot be applied."""
    try:
        found = sorted(json.loads(text)["rules"], key=lambda rule: int(rule["rulePriority"]))
        for rule in found:
            if problem := _problem(rule):
                raise _invalid(f"rule {rule['rulePriority']}: {problem}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(f"{type(error).__name__} {error}") from error
    return found


def _invalid(problem: str) -> ServiceError:
    return ServiceError("InvalidParameterException", f"Invalid parameter at 'LifecyclePolicyText': {problem}")


def _problem(rule: Rule) -> str | None:
    """Say what keeps a rule from being applied."""
    selection = rule["selection"]
    if unknown := sorted(selection.keys() - SELECTION):
        return f"{unknown[0]} is not part of the local cloud"
    if rule["action"] != {"type": "expire"}:
        return f"action {rule['action']} is not part of the local cloud"
    if selection["tagStatus"] not in {"tagged", "untagged", "any"}:
        return "tagStatus is one of tagged, untagged, any"
    named = selection.get("tagPrefixList") or selection.get("tagPatternList")
    if bool(named) != (selection["tagStatus"] == "tagged"):
        return "tagPrefixList or tagPatternList goes with tagStatus tagged, and only with it"
    return _count_problem(selection)


def _count_problem(selection: Document) -> str | None:
    if not isinstance(selection["countNumber"], int) or selection["countNumber"] < 1:
        return "countNumber is a number above zero"
    unit = {"imageCountMoreThan": None, "sinceImagePushed": "days"}
    if selection["countType"] not in unit:
        return f"countType {selection['countType']} is not part of the local cloud"
    if selection.get("countUnit") != unit[selection["countType"]]:
        return "countUnit is days with sinceImagePushed, and absent with imageCountMoreThan"
    return None


def apply(cloud: Cloud, name: str) -> None:
    """Delete a repository's images that its policy lets expire."""
    with catalogue.CHANGING, repositories(cloud).lock:
        record = repositories(cloud).get(name)
        if record is None or not record.get("lifecyclePolicyText"):
            return
        now = datetime.now(UTC)
        for image in expired(rules(record["lifecyclePolicyText"]), catalogue.pushed(cloud, name), now):
            catalogue.forget(cloud, record, image)
            notices.publish(cloud, "DELETE", record, image, None)
        repositories(cloud).change(name, lastEvaluatedAt=now.isoformat())


def expired(policy: list[Rule], images: list[Record], now: datetime) -> list[Record]:
    """Return the images that expire; each falls under the first rule that its tags fit, and no other."""
    newest_first = sorted(images, key=lambda image: str(image["imagePushedAt"]), reverse=True)
    gone: list[Record] = []
    for rule in policy:
        selection = rule["selection"]
        claimed = [image for image in newest_first if _fits(selection, image["tags"])]
        newest_first = [image for image in newest_first if image not in claimed]
        if selection["countType"] == "imageCountMoreThan":
            gone += claimed[selection["countNumber"] :]
        else:
            limit = now - timedelta(days=selection["countNumber"])
            gone += [each for each in claimed if datetime.fromisoformat(each["imagePushedAt"]) < limit]
    return _unheld(gone, images)


def _unheld(gone: list[Record], images: list[Record]) -> list[Record]:
    """Return those of *gone* that no index holds which stays."""
    staying = [image for image in images if image not in gone]
    held = {digest for image in staying for digest in image.get("images", [])}
    return [image for image in gone if image["imageDigest"] not in held]


def _fits(selection: Document, tags: list[str]) -> bool:
    """Say whether a selection takes an image with these tags; each prefix or pattern must fit one of them."""
    if selection["tagStatus"] != "tagged":
        return selection["tagStatus"] == "any" or not tags
    patterns = [f"{prefix}*" for prefix in selection.get("tagPrefixList", [])]
    patterns += selection.get("tagPatternList", [])
    return all(any(fnmatch.fnmatchcase(tag, pattern) for tag in tags) for pattern in patterns)
