"""Trainings, merges and people, as their middleware has them; and what the page makes of them."""

import math
import re
from types import SimpleNamespace

import pytest

from atelier_webui.contract.api.trainings import Metric, TrainedOn
from atelier_webui.errors import Problem, Refusal
from atelier_webui.merges import Merging
from atelier_webui.people import People
from atelier_webui.trainings import LOG, Training, log
from atelier_webui.ui import plot

ON = TrainedOn(
    training_instance_type="ml.g5.xlarge", model="tiny.safetensors", dataset="boats", fm_type="sd_1_5"
)


@pytest.fixture
def training(cloud, client):
    cloud.dataset("boats")
    return Training(client)


def test_a_training_is_begun_with_the_settings_flat_beside_its_name(cloud, training):
    made = training.begin(ON, "ink", {"network_dim": 8, "unet_lr": 1e-4})

    asked = cloud.trainings[made.id]["params"]["config_params"]
    assert {"output_name": "ink", "network_dim": 8, "unet_lr": 1e-4} == asked
    found = training.get(made.id)
    assert ("Completed", [1, 2, 3]) == (found.job_status, [each.step for each in found.metrics[:3]])
    assert (64, 64) == training.sample(made.id).size
    assert [made.id] == [each.id for each in training.page(limit=5).trainings]


def test_a_training_without_a_sample_has_no_picture(training):
    assert training.sample(training.begin(ON, "slow", {}).id) is None


def test_a_log_is_its_end_and_one_that_is_not_there_yet_is_nothing(cloud, client):
    cloud.objects["work/1/log.txt"] = b"begins\n" + b"x" * LOG + b"\nends \xff\n"
    files = [
        SimpleNamespace(filename="log.txt", url=f"{cloud.url}s3/work/{number}/log.txt") for number in (1, 2)
    ]

    assert LOG == len(log(client, files))
    assert log(client, files).endswith("x\nends \N{REPLACEMENT CHARACTER}")
    assert "" == log(client, files[1:])


def test_a_training_is_stopped_but_not_when_it_is_over(cloud, training):
    slow, done = (training.begin(ON, name, {}).id for name in ("slow", "ink"))

    training.stop(slow)

    assert "Stopped" == cloud.trainings[slow]["status"]
    with pytest.raises(Refusal, match="is Completed"):
        training.stop(done)
    training.delete(slow, done)
    assert {} == cloud.trainings


@pytest.mark.parametrize(
    ("method", "given", "taken"),
    [("no_interpolation", "abc", 1), ("weighted_sum", "abc", 2), ("add_difference", "abc", 3)],
)
def test_a_merge_takes_as_many_checkpoints_as_its_method(method, given, taken, cloud, client):
    for each in given:
        cloud.checkpoint(each, status="Active")

    made = Merging(client).begin(method, given, "both", multiplier=0.5, precision="bf16")

    assert [*given[:taken]] == [each.name for each in made.parents]
    assert "Completed" == Merging(client).get(made.id).status
    Merging(client).delete(made.id)
    assert {} == cloud.merges


def test_a_merge_without_one_of_its_checkpoints_is_not_sent(cloud, client):
    with pytest.raises(Problem, match="A, B first"):
        Merging(client).begin("weighted_sum", ("tiny", ""), "both", multiplier=0.5, precision="fp16")
    assert 0 == cloud.times("MergeCheckpoints")


def test_people_are_made_and_their_tokens_act_for_them_until_they_are_revoked(cloud, client):
    people = People(client)
    people.keep_role("guest", ["inference:list"])
    people.keep_user("zoë", ["guest"])

    made = people.make_token("zoë", description="laptop", days=7)

    assert "zoë" == cloud.tokens[made.secret]
    assert ["laptop"] == [each.description for each in people.tokens("zoë")]
    people.revoke_token("zoë", made.token.id)
    assert ([], False) == (people.tokens("zoë"), made.secret in cloud.tokens)
    people.delete_users(["zoë"])
    people.delete_roles(["guest"])
    assert (["anna", "ben"], ["artist"]) == (
        [each.username for each in people.users()],
        [each.role_name for each in people.roles()],
    )


def metric(step, loss):
    return Metric(step=step, epoch=1, loss=loss, lr=1e-4, at="2026-01-01T00:00:00Z")


def test_a_loss_is_drawn_within_its_frame_and_told_in_words():
    drawn = plot.loss([metric(step, 1 / step) for step in range(1, 101)])

    (each, mean) = re.findall(r'points="([^"]+)"', drawn)
    corners = [tuple(map(float, corner.split(","))) for corner in each.split()]
    assert (100, 100) == (len(corners), len(mean.split()))
    assert all(plot.LEFT <= x <= plot.WIDE - plot.RIGHT for x, _ in corners)
    assert all(plot.TOP <= y <= plot.HIGH - plot.BOTTOM for _, y in corners)
    assert (plot.TOP, plot.HIGH - plot.BOTTOM) == (corners[0][1], corners[-1][1])
    assert "Loss: 1 at step 1, 0.0" in drawn


@pytest.mark.parametrize("losses", [[], [0.5], [math.nan, 0.5], [math.inf, math.nan]])
def test_a_loss_that_cannot_be_drawn_is_not(losses):
    assert "" == plot.loss([metric(step, each) for step, each in enumerate(losses)])


def test_a_loss_that_never_changes_is_a_line():
    assert "nan" not in plot.loss([metric(1, 0.5), metric(1, 0.5)])
