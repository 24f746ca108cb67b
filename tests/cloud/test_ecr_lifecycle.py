"""Lifecycle policies are applied, or refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from atelier.cloud.services.ecr.lifecycle import expired, rules
from atelier.cloud.services.wire import ServiceError

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def image(name, age, *tags):
    return {"imageDigest": name, "tags": list(tags), "imagePushedAt": (NOW - timedelta(days=age)).isoformat()}


def rule(priority=1, **selection):
    return {"rulePriority": priority, "selection": selection, "action": {"type": "expire"}}


def gone(policy, *images):
    return [each["imageDigest"] for each in expired(rules(json.dumps({"rules": policy})), list(images), NOW)]


IMAGES = (
    image("old", 30),
    image("dev", 20, "dev-1"),
    image("both", 10, "dev-2", "v1"),
    image("new", 1, "v2"),
)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 2}, ["dev", "old"]),
        ({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9}, []),
        (
            {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7},
            ["old"],
        ),
        (
            {
                "tagStatus": "tagged",
                "tagPrefixList": ["dev-"],
                "countType": "imageCountMoreThan",
                "countNumber": 1,
            },
            ["dev"],
        ),
        (
            {
                "tagStatus": "tagged",
                "tagPatternList": ["v*", "dev*"],
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 5,
            },
            ["both"],
        ),
    ],
)
def test_the_images_that_a_rule_selects_expire(selection, expected):
    assert expected == gone([rule(**selection)], *IMAGES)


def test_an_image_stays_as_long_as_an_index_that_holds_it():
    index = {**image("index", 5, "v3"), "images": ["old"]}
    untagged = rule(1, tagStatus="untagged", countType="sinceImagePushed", countUnit="days", countNumber=7)
    tagged = rule(
        2,
        tagStatus="tagged",
        tagPrefixList=["v"],
        countType="sinceImagePushed",
        countUnit="days",
        countNumber=3,
    )

    assert [] == gone([untagged], image("old", 30), index)
    assert ["old", "index"] == gone([untagged, tagged], image("old", 30), index)


def test_an_image_falls_under_the_first_rule_that_fits_it():
    keep = rule(1, tagStatus="tagged", tagPrefixList=["v"], countType="imageCountMoreThan", countNumber=100)
    rest = rule(2, tagStatus="any", countType="imageCountMoreThan", countNumber=1)

    assert ["old"] == gone([rest, keep], *IMAGES)


@pytest.mark.parametrize(
    ("selection", "problem"),
    [
        ({"countType": "sinceImagePulled", "countUnit": "days"}, "countType sinceImagePulled is not part"),
        ({"countType": "sinceImagePushed"}, "countUnit is days"),
        ({"countType": "imageCountMoreThan", "countUnit": "days"}, "absent with imageCountMoreThan"),
        ({"tagPrefixList": ["v"]}, "goes with tagStatus tagged"),
        ({"tagStatus": "tagged"}, "goes with tagStatus tagged"),
        ({"tagStatus": "some"}, "tagStatus is one of"),
        ({"countNumber": 0}, "countNumber is a number above zero"),
        ({"storageClass": "archive"}, "storageClass is not part of the local cloud"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused(selection, problem):
    base = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}

    with pytest.raises(ServiceError, match=problem):
        rules(json.dumps({"rules": [rule(**{**base, **selection})]}))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"rules": [{}]}', '{"rules": [{"rulePriority": "x"}]}'])
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(ServiceError, match="LifecyclePolicyText"):
        rules(text)


def test_another_action_than_expiry_is_refused():
    transition = {**rule(), "action": {"type": "transition", "targetStorageClass": "archive"}}
    transition["selection"] = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}

    with pytest.raises(ServiceError, match=r"action .* is not part of the local cloud"):
        rules(json.dumps({"rules": [transition]}))
