import base64
import json
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from account_fakes import Killed
from inference_fakes import JOB, NOW, OTHER, PIXEL, Studio, an_answer, answered, refused

from atelier.lambdas.domain.inferences import Result
from atelier.lambdas.errors import Busy, Invalid
from atelier.lambdas.services.middleware import endpoints, inferences, reconciler, results


@pytest.fixture
def studio() -> Studio:
    return Studio()


def take(studio, result, now=NOW):
    results.take(result, now=now, jobs=studio.jobs, objects=studio.objects)


def later(**time) -> str:
    return (datetime.fromisoformat(NOW) + timedelta(**time)).isoformat(timespec="microseconds")


def settle(studio, **time):
    """Let the reconciler come by; return what it could not look after."""
    troubles = []
    reconciler.settle(
        now=later(**time),
        world=studio.world,
        is_time_left=lambda: True,
        report=lambda name, error: troubles.append((name, error)),
    )
    return troubles


def names(studio):
    return sorted(key.rpartition("/")[2] for key in studio.objects.kept)


def test_an_answer_becomes_pictures_and_the_end_of_the_job(studio):
    job = studio.running()

    take(studio, answered(studio, job, an_answer(PIXEL, PIXEL)), later(seconds=9))

    done = studio.jobs.kept[JOB]
    assert ("succeeded", later(seconds=9)) == (done.status, done.completed)
    assert ("image_0.png", "image_1.png") == done.images
    assert [f"{JOB}_param.json", "image_0.png", "image_1.png", "input.json"] == names(studio)
    assert PIXEL == studio.objects.kept[done.image_key("image_0.png")]
    said = json.loads(studio.objects.kept[done.output_key])
    assert ({"seed": 7}, ["a cat"]) == (said["parameters"], json.loads(said["info"])["infotexts"])


def test_a_picture_may_be_alone_and_a_data_url(studio):
    job = studio.running()
    picture = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"

    take(studio, answered(studio, job, json.dumps({"image": picture}).encode()))

    assert PIXEL == studio.objects.kept[job.image_key("image_0.png")]


@pytest.mark.parametrize(
    "words, body",
    [
        ("is not JSON", b"<html>"),
        ("is not an object", b"[]"),
        ("image that is not a PNG", b"{}"),
        ("image that is not a PNG", json.dumps({"images": ["R0lG"]}).encode()),
        ("image that is not base64", json.dumps({"images": ["!"]}).encode()),
        ("1 to 128 images", json.dumps({"images": ["R0lG"] * 129}).encode()),
        ("1 to 128 images", json.dumps({"images": "R0lG"}).encode()),
    ],
)
def test_an_answer_without_pictures_fails_the_job(studio, words, body):
    job = studio.running()

    take(studio, answered(studio, job, body))

    assert "failed" == studio.jobs.kept[JOB].status
    assert words in studio.jobs.kept[JOB].error


def test_an_answer_that_is_too_large_or_not_there_or_elsewhere_fails_the_job(studio):
    for output, body, words in (
        ("s3://bucket/async/output/1.out", b" " * (results.LARGEST_ANSWER + 1), "is too large"),
        ("s3://bucket/async/output/gone.out", b"", "is not there"),
        ("s3://another/async/output/1.out", b"", "is not there"),
        ("s3://bucket/checkpoints/dream.safetensors", b"", "is not there"),
    ):
        fresh = Studio()
        fresh.running()
        fresh.objects.kept["async/output/1.out"] = body
        fresh.objects.kept["checkpoints/dream.safetensors"] = b"precious"
        take(fresh, Result(id=JOB, output=output))
        assert words in fresh.jobs.kept[JOB].error
        assert b"precious" == fresh.objects.kept["checkpoints/dream.safetensors"]


@pytest.mark.parametrize(
    "error, words",
    [
        ("no such sampler", b'{"message": "no such sampler"}'),
        ("out of memory", b"out of memory\n"),
        ("ClientError: Received client error (400) from model.", b""),
        ("ClientError: Received client error (400) from model.", b" " * 70_000),
    ],
)
def test_a_failure_is_told_in_the_containers_words(studio, error, words):
    job = studio.running()

    take(studio, refused(studio, job, words))

    assert ("failed", error) == (studio.jobs.kept[JOB].status, studio.jobs.kept[JOB].error)
    assert ["input.json"] == names(studio)


def test_notices_that_come_again_change_nothing(studio):
    job = studio.running()
    result = answered(studio, job)
    take(studio, result)
    done, kept = studio.jobs.kept[JOB], dict(studio.objects.kept)

    take(studio, result)
    take(studio, refused(studio, job))

    assert (done, kept) == (studio.jobs.kept[JOB], studio.objects.kept)


def test_a_success_after_a_failure_changes_nothing(studio):
    job = studio.running()
    take(studio, refused(studio, job))
    done = studio.jobs.kept[JOB]

    take(studio, answered(studio, job))

    assert (done, ["input.json"]) == (studio.jobs.kept[JOB], names(studio))


def test_an_answer_after_a_cancellation_is_discarded(studio):
    job = studio.running()
    inferences.cancel(JOB, now=NOW, caller=studio.ann, world=studio.world)

    take(studio, answered(studio, job))

    assert ("cancelled", {}) == (studio.jobs.kept[JOB].status, studio.objects.kept)


def test_an_answer_for_a_deleted_job_is_discarded(studio):
    job = studio.running()
    inferences.delete([JOB], caller=studio.ann, world=studio.world)

    take(studio, answered(studio, job))

    assert ({}, {}) == (studio.jobs.kept, studio.objects.kept)


def test_a_cancellation_while_pictures_are_stored_discards_them(studio):
    job = studio.running()
    studio.life.before["save succeeded"] = lambda: inferences.cancel(
        JOB, now=NOW, caller=studio.ann, world=studio.world
    )

    take(studio, answered(studio, job))

    assert ("cancelled", {}) == (studio.jobs.kept[JOB].status, studio.objects.kept)


def test_a_notice_before_its_job_is_known_to_run_is_to_come_again(studio):
    studio.serving()
    studio.ask()

    with pytest.raises(Busy):
        take(studio, Result(id=JOB, output="s3://bucket/async/output/1.out"))


@pytest.mark.parametrize("steps", range(5))
def test_a_taker_that_was_killed_takes_the_notice_again(studio, steps):
    job = studio.running()
    result = answered(studio, job)
    studio.life.steps = steps
    with suppress(Killed):
        take(studio, result)
    studio.life.steps = None

    take(studio, result)

    assert "succeeded" == studio.jobs.kept[JOB].status
    assert [f"{JOB}_param.json", "image_0.png", "input.json"] == names(studio)


@pytest.mark.parametrize("steps", range(5))
def test_a_start_that_was_killed_is_done_by_the_client_or_the_reconciler(studio, steps):
    studio.serving()
    studio.ask()
    studio.objects.kept[f"inferences/{JOB}/api_params.json"] = b"{}"
    studio.life.steps = steps
    with suppress(Killed):
        studio.start()
    studio.life.steps = None

    studio.start()
    assert [] == settle(studio, minutes=6)
    for number in range(len(studio.invocations.taken)):
        body = an_answer(PIXEL)
        studio.objects.kept[f"async/output/{number + 1}.out"] = body
        take(studio, Result(id=JOB, output=f"s3://bucket/async/output/{number + 1}.out"))

    assert "succeeded" == studio.jobs.kept[JOB].status
    assert [f"{JOB}_param.json", "api_params.json", "image_0.png", "input.json"] == names(studio)


def test_the_reconciler_leaves_young_jobs_and_those_that_wait_to_their_events(studio):
    studio.running()
    steps = list(studio.life.taken)

    settle(studio, minutes=4)
    settle(studio, hours=7)

    assert steps == studio.life.taken


def test_the_reconciler_takes_results_whose_notices_were_lost(studio):
    job = studio.running()
    answered(studio, job)

    settle(studio, minutes=6)

    assert "succeeded" == studio.jobs.kept[JOB].status


def test_the_reconciler_takes_failures_whose_notices_were_lost(studio):
    job = studio.running()
    refused(studio, job)

    settle(studio, minutes=6)

    assert ("failed", "no such sampler") == (studio.jobs.kept[JOB].status, studio.jobs.kept[JOB].error)


def test_the_reconciler_ends_what_nobody_answers(studio):
    studio.running()

    settle(studio, hours=8)

    assert ("failed", "the endpoint gave no answer in time") == (
        studio.jobs.kept[JOB].status,
        studio.jobs.kept[JOB].error,
    )


def test_the_reconciler_ends_jobs_whose_endpoint_is_gone(studio):
    job = studio.running()
    endpoints.delete([job.runner.name], world=studio.watched)

    settle(studio, minutes=6)

    assert "was deleted or failed" in studio.jobs.kept[JOB].error


def test_the_reconciler_hands_a_job_over_again_a_few_times(studio):
    studio.serving()
    studio.invocations.is_silent = True
    studio.running()

    for minutes in range(6, 60, 6):
        settle(studio, minutes=minutes)

    assert reconciler.MOST_ATTEMPTS == len(studio.invocations.taken)
    assert ("failed", "endpoint sd-async-1111111 could not be called") == (
        studio.jobs.kept[JOB].status,
        studio.jobs.kept[JOB].error,
    )


def test_a_job_that_cannot_be_handed_over_now_stays_in_progress(studio):
    studio.invocations.is_silent = True
    studio.running()
    studio.invocations.error = Busy("throttled")
    settle(studio, minutes=6)
    studio.invocations.error, studio.invocations.is_silent = None, False

    settle(studio, minutes=12)

    assert ("inprogress", True) == (studio.jobs.kept[JOB].status, studio.jobs.kept[JOB].sent is not None)


def test_a_real_time_job_whose_function_was_killed_fails(studio):
    studio.serving(OTHER, endpoint_type="Real-time")
    studio.invocations.reply = an_answer()
    studio.life.before["answer"] = lambda: setattr(studio.life, "steps", 0)
    with suppress(Killed):
        studio.ask(inference_type="Real-time", payload_string="{}")
    studio.life.steps = None

    settle(studio, minutes=6)

    assert ("failed", "the endpoint's answer was lost") == (
        studio.jobs.kept[JOB].status,
        studio.jobs.kept[JOB].error,
    )


def test_a_job_that_makes_trouble_does_not_keep_the_reconciler_from_the_others(studio):
    studio.running()
    studio.ask(OTHER, payload_string="{}")
    second = studio.jobs.kept[OTHER]
    answered(studio, second)
    studio.jobs.kept[JOB] = studio.jobs.kept[JOB].to("created").to("inprogress", sent=None)
    studio.invocations.error = Invalid("Endpoint not found")

    troubles = settle(studio, minutes=6)

    assert [JOB] == [name for name, _ in troubles]
    assert ("failed", "succeeded") == (studio.jobs.kept[JOB].status, studio.jobs.kept[OTHER].status)


def test_the_reconciler_stops_when_its_time_is_over(studio):
    job = studio.running()
    answered(studio, job)

    done = reconciler.settle(
        now=later(minutes=6), world=studio.world, is_time_left=lambda: False, report=lambda *_: None
    )

    assert (0, "inprogress") == (done, studio.jobs.kept[JOB].status)


def test_the_reconciler_looks_at_endpoints(studio):
    made = studio.make()
    studio.fleet.serves(made.name)

    seen = reconciler.watch(now=NOW, world=studio.watched, is_time_left=lambda: True, report=lambda *_: None)

    assert (1, "InService") == (seen, studio.endpoints.kept[made.name].status)
