import base64
import json
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from account_fakes import Killed, with_role, with_user
from inference_fakes import JOB, NOW, OTHER, REGISTRY, Studio

from atelier.lambdas.domain.endpoints import Sight
from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid, NotFound, Throttled
from atelier.lambdas.services.middleware import endpoints

EXTENSION = f"https://github.com/owner/repo.git#main#{'a' * 40}"
IMAGE = f"{REGISTRY}/mine/webui:1.2"


@pytest.fixture
def studio() -> Studio:
    return Studio()


def later(**time) -> str:
    return (datetime.fromisoformat(NOW) + timedelta(**time)).isoformat(timespec="microseconds")


def look(studio, name, now=NOW):
    return endpoints.refresh(name, now=now, world=studio.watched)


def listed(studio, limit=10, start=None, **more):
    return endpoints.listed(
        limit=limit, start=start, now=NOW, world=studio.watched, accounts=studio.accounts, **more
    )


@pytest.mark.parametrize(
    "name, changes",
    [
        ("sd-async-1111111", {}),
        ("sd-async-1111111", {"endpoint_name": ""}),
        ("sd-async-artists", {"endpoint_name": "artists"}),
        ("sd-real-time-Artists-2", {"endpoint_name": "Artists-2", "endpoint_type": "Real-time"}),
    ],
)
def test_an_endpoint_is_named_by_what_it_does(studio, name, changes):
    assert name == studio.make(**changes).name


@pytest.mark.parametrize(
    "words, changes",
    [
        ("service_type comfy is not supported", {"service_type": "comfy"}),
        ('endpoint_name "a_b" must be', {"endpoint_name": "a_b"}),
        ('endpoint_name "a-" must be', {"endpoint_name": "a-"}),
        ("at most 54 letters", {"endpoint_name": "a" * 55}),
        ('user roles "nobody" not exist', {"assign_to_roles": ("painter", "nobody")}),
        (f"must be an image in {REGISTRY}", {"custom_docker_image_uri": "docker.io/evil:1"}),
        (f"must be an image in {REGISTRY}", {"custom_docker_image_uri": f"{REGISTRY}.evil.com/a:1"}),
        (f"must be an image in {REGISTRY}", {"custom_docker_image_uri": f"{REGISTRY}/a b"}),
        ("at most 3, found 4", {"custom_extensions": " ".join([EXTENSION] * 4)}),
        ('"https://evil.com/owner/repo.git', {"custom_extensions": EXTENSION.replace("github", "evil")}),
        ("is not https://github.com", {"custom_extensions": EXTENSION[:-1]}),
        ("need a custom_docker_image_uri", {"custom_extensions": EXTENSION}),
        ("between min_instance_number and max", {"initial_instance_count": 3.0, "max_instance_number": 2.0}),
        ("between min_instance_number and max", {"min_instance_number": 2.0}),
        ("must be at least 1", {"endpoint_type": "Real-time", "min_instance_number": 0.0}),
    ],
)
def test_what_cannot_be_is_refused_by_name_before_anything_is_made(studio, words, changes):
    with pytest.raises(Invalid, match=words.replace("(", r"\(")):
        studio.make(**changes)

    assert [] == studio.life.taken


def test_a_workflow_is_not_found(studio):
    with pytest.raises(NotFound, match="workflow flow not found"):
        studio.make(workflow_name="flow")


def test_extensions_go_to_an_image_that_installs_them(studio):
    made = studio.make(custom_extensions=f"{EXTENSION},\n{EXTENSION} ", custom_docker_image_uri=IMAGE)

    assert (f"{EXTENSION},\n{EXTENSION}", IMAGE) == (made.extensions, made.custom_image)


@pytest.mark.parametrize(
    "bounds, changes",
    [
        ((0, 1), {}),
        ((1, 1), {"endpoint_type": "Real-time"}),
        ((2, 2), {"autoscaling_enabled": False, "initial_instance_count": 2.0, "min_instance_number": 0.0}),
        ((1, 4), {"min_instance_number": 1.0, "max_instance_number": 4.0}),
    ],
)
def test_an_endpoint_scales_between_its_bounds(studio, bounds, changes):
    made = studio.make(**changes)

    assert bounds == (made.least, made.most)


def test_a_role_has_one_valid_endpoint_of_a_kind(studio):
    first = studio.make()

    with pytest.raises(Conflict, match=r"role \[painter\] has a valid endpoint already"):
        studio.make(OTHER)
    studio.make(OTHER, endpoint_type="Real-time")

    endpoints.delete([first.name], world=studio.watched)
    assert "Creating" == studio.make("3" * 36).status


def test_a_failed_endpoint_is_not_valid_and_keeps_its_name(studio):
    first = studio.make()
    studio.fleet.seen[first.name] = Sight(status="Failed", instances=0, reason="CannotStartContainerError")

    assert "CannotStartContainerError" == look(studio, first.name).error
    assert "Creating" == studio.make(OTHER).status
    with pytest.raises(Conflict, match="Cannot create already existing model"):
        studio.make()


def test_what_sagemaker_refuses_is_passed_on_and_leaves_nothing(studio):
    studio.fleet.error = Invalid("ResourceLimitExceeded: The account-level service limit is 0 Instances")

    with pytest.raises(Invalid, match="ResourceLimitExceeded: The account-level"):
        studio.make()

    assert {} == studio.endpoints.kept


def test_what_could_not_be_taken_back_stays_so_that_it_can_be_deleted(studio):
    studio.fleet.error = Failed("not all could be taken back")
    with pytest.raises(Failed):
        studio.make()
    studio.fleet.error = None

    assert ["Failed"] == [each.status for each in listed(studio).items]
    endpoints.delete(["sd-async-1111111"], world=studio.watched)
    assert "dismantle" in studio.life.taken
    assert () == listed(studio).items


def test_an_endpoint_scales_once_it_is_in_service(studio):
    made = studio.make(max_instance_number=3.0)
    assert {} == studio.scaling.enabled

    studio.fleet.serves(made.name)
    seen = look(studio, made.name)

    assert ("InService", 1) == (seen.status, seen.instances)
    assert {made.name: (0, 3)} == studio.scaling.enabled


def test_without_autoscaling_nothing_scales(studio):
    made = studio.make(autoscaling_enabled=False)
    studio.fleet.serves(made.name)

    assert "InService" == look(studio, made.name).status
    assert {} == studio.scaling.enabled


def test_an_endpoint_that_may_not_scale_serves_and_says_so(studio):
    made = studio.make()
    studio.fleet.serves(made.name)
    studio.scaling.error = Invalid("ValidationException: the instance type is not supported")

    seen = look(studio, made.name)

    assert ("InService", "autoscaling: ValidationException: the instance type is not supported") == (
        seen.status,
        seen.error,
    )


def test_where_scaling_is_throttled_the_endpoint_is_looked_at_again(studio):
    made = studio.make()
    studio.fleet.serves(made.name)
    studio.scaling.error = Throttled("slowly")
    with pytest.raises(Throttled):
        look(studio, made.name)
    studio.scaling.error = None

    look(studio, made.name)

    assert [made.name] == list(studio.scaling.enabled)


def test_news_that_come_twice_change_nothing(studio):
    name = studio.serving().name
    taken = list(studio.life.taken)

    look(studio, name)

    assert taken == studio.life.taken
    assert look(studio, "sd-async-unknown") is None


def test_an_endpoint_that_changes_is_deleted_when_it_has_changed(studio):
    made = studio.make()
    studio.fleet.is_changing = True

    endpoints.delete([made.name, "sd-async-unknown"], world=studio.watched)
    assert "Deleting" == look(studio, made.name).status

    studio.fleet.is_changing = False
    studio.fleet.serves(made.name)
    look(studio, made.name)
    assert {} == studio.fleet.seen
    assert look(studio, made.name) is None
    assert {} == studio.endpoints.kept


def test_an_endpoint_that_is_deleted_never_comes_back(studio):
    name = studio.serving().name
    endpoints.delete([name], world=studio.watched)
    studio.fleet.serves(name)

    assert "Deleting" == look(studio, name).status
    assert {} == studio.scaling.enabled


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_deletion_that_was_killed_is_done_by_whoever_looks_next(studio, steps):
    name = studio.serving().name
    studio.life.steps = steps
    with suppress(Killed):
        endpoints.delete([name], world=studio.watched)
    studio.life.steps = None

    while look(studio, name) is not None:
        pass

    assert ({}, {}, {}) == (studio.endpoints.kept, studio.fleet.seen, studio.scaling.enabled)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_creation_that_was_killed_serves_or_fails(studio, steps):
    studio.life.steps = steps
    with suppress(Killed):
        studio.make()
    studio.life.steps = None
    if studio.fleet.seen:
        studio.fleet.serves("sd-async-1111111")

    assert "Creating" == look(studio, "sd-async-1111111").status or studio.fleet.seen
    seen = look(studio, "sd-async-1111111", later(minutes=16))

    assert ("InService" if studio.fleet.seen else "Failed") == seen.status


def test_an_endpoint_that_somebody_else_deleted_fails(studio):
    name = studio.serving().name
    studio.fleet.seen.clear()

    assert ("Failed", "SageMaker has no such endpoint any more") == (
        (seen := look(studio, name)).status,
        seen.error,
    )
    assert {} == studio.scaling.enabled


def test_of_two_who_look_at_once_one_wins_and_the_other_looks_again(studio):
    made = studio.make()
    studio.fleet.serves(made.name)
    studio.life.before["save InService"] = lambda: endpoints.delete([made.name], world=studio.watched)

    seen = look(studio, made.name)

    assert seen is None
    assert ({}, {}) == (studio.endpoints.kept, studio.scaling.enabled)


def three(studio):
    for number, name in enumerate(("a", "b", "c")):
        with_role(studio.accounts, name, "train:all")
        studio.now = later(seconds=number)
        studio.serving(f"{number}" * 36, endpoint_name=name, assign_to_roles=(name,))


def names(page):
    return [each.name.removeprefix("sd-async-") for each in page.items]


def test_endpoints_are_listed_in_pages_the_newest_first(studio):
    three(studio)

    first = listed(studio, limit=2)
    second = listed(studio, limit=2, start=first.token)

    assert (["c", "b"], ["a"], None) == (names(first), names(second), second.token)


def test_endpoints_are_listed_by_user_and_by_id(studio):
    three(studio)
    with_user(studio.accounts, "bea", "a", "b")

    assert ["b", "a"] == names(listed(studio, username="bea"))
    assert ["c"] == names(listed(studio, id="2" * 36))
    with pytest.raises(Invalid, match='user: "nobody" not exist'):
        listed(studio, username="nobody")


@pytest.mark.parametrize(
    "key",
    [
        "x",
        "é",
        "bnVsbA==",
        base64.urlsafe_b64encode(b"[1]").decode(),
        base64.urlsafe_b64encode(b"[" * 5000).decode(),
        base64.urlsafe_b64encode(json.dumps({"of": "txt2img#", "at": NOW, "id": "x"}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"of": "endpoints", "at": "never", "id": "x"}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"of": "endpoints", "at": NOW, "id": 7}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"of": "endpoints", "at": NOW}).encode()).decode(),
    ],
)
def test_a_key_that_no_list_gave_is_refused(studio, key):
    with pytest.raises(Invalid, match="exclusive_start_key"):
        listed(studio, start=key)


def test_a_list_looks_only_at_what_changes(studio):
    three(studio)
    studio.make(JOB, assign_to_roles=("painter",))
    studio.fleet.looked = 0
    studio.fleet.serves("sd-async-1111111")

    assert "InService" == listed(studio, id=JOB).items[0].status
    assert 1 == studio.fleet.looked


def test_a_list_shows_what_was_known_when_sagemaker_does_not_answer(studio):
    studio.make()
    studio.fleet.error = Busy("not now")

    assert ["Creating"] == [each.status for each in listed(studio).items]
