import json
from datetime import datetime, timedelta

import pytest
from inference_fakes import JOB, NOW, OTHER, PIXEL, Studio, an_answer, answered

from atelier.lambdas.domain.accounts import Caller, User
from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid, NotFound, Refused
from atelier.lambdas.services.middleware import endpoints, inferences, results

PARAMS = '{"prompt": "a cat", "seed": 7}'
DEPLOYMENT = Caller(user=User(name="", creator=""), deployment=True)


@pytest.fixture
def studio() -> Studio:
    made = Studio()
    made.serving()
    return made


def upload(studio, body=PARAMS, id=JOB):
    studio.objects.kept[f"inferences/{id}/api_params.json"] = body.encode()


def get(studio, id=JOB, caller=None):
    return inferences.get(id, caller=caller or studio.ann, jobs=studio.jobs)


def cancel(studio, id=JOB, caller=None):
    return inferences.cancel(id, now=NOW, caller=caller or studio.ann, world=studio.world)


def test_a_job_waits_for_its_parameters_and_is_started_with_them(studio):
    assert "created" == studio.ask().status
    upload(studio)

    started = studio.start()

    assert ("inprogress", [JOB]) == (started.status, studio.invocations.taken)
    assert started == get(studio)
    assert {
        "id": JOB,
        "task_type": "txt2img",
        "models": {
            "Stable-diffusion": [
                {
                    "name": "dream.safetensors",
                    "s3": "s3://bucket/checkpoints/dream.safetensors",
                    "sha256": "ab" * 32,
                }
            ]
        },
        "params": {"prompt": "a cat", "seed": 7},
    } == json.loads(studio.objects.kept[f"inferences/{JOB}/input.json"])


def test_with_its_parameters_a_job_starts_at_once(studio):
    job = studio.ask(payload_string=PARAMS)

    assert ("inprogress", [JOB]) == (job.status, studio.invocations.taken)
    assert job.sent is not None


def test_a_real_time_job_is_answered_with_its_pictures(studio):
    studio.serving(OTHER, endpoint_type="Real-time")
    studio.invocations.reply = an_answer(PIXEL, PIXEL)

    job = studio.ask(inference_type="Real-time", payload_string=PARAMS)

    assert ("succeeded", ("image_0.png", "image_1.png")) == (job.status, job.images)
    assert PIXEL == studio.objects.kept[job.image_key("image_1.png")]
    assert {"parameters", "info"} == json.loads(studio.objects.kept[job.output_key]).keys()


@pytest.mark.parametrize("error", [Invalid("no such sampler"), Failed("took too long")])
def test_a_real_time_job_that_fails_says_why(studio, error):
    studio.serving(OTHER, endpoint_type="Real-time")
    studio.invocations.error = error

    with pytest.raises(type(error), match=str(error)):
        studio.ask(inference_type="Real-time", payload_string=PARAMS)

    assert ("failed", str(error)) == (get(studio).status, get(studio).error)


def test_a_real_time_job_without_pictures_fails(studio):
    studio.serving(OTHER, endpoint_type="Real-time")
    studio.invocations.reply = b"{}"

    with pytest.raises(Failed, match="image"):
        studio.ask(inference_type="Real-time", payload_string=PARAMS)

    assert "failed" == get(studio).status


@pytest.mark.parametrize(
    "words, changes",
    [
        ("task type sculpt should be in", {"task_type": "sculpt"}),
        ("payload_string must be valid json string", {"payload_string": "{"}),
        ("payload_string must be valid json string", {"payload_string": '{"seed": NaN}'}),
        ("payload_string must be valid json string", {"payload_string": '{"seed": 1e999}'}),
        ("payload_string must be valid json string", {"payload_string": '{"prompt": "\\ud800"}'}),
        ("payload_string must be valid json string", {"payload_string": "[" * 100_000}),
        ("payload_string must be a json object", {"payload_string": "[]"}),
        ("must not be nested deeper than 64", {"payload_string": '{"a":' * 70 + "1" + "}" * 70}),
        ("checkpoint with name nope not found", {"models": {"Lora": ("nope",)}}),
        ("at most 50 in all, found 51", {"models": {"Lora": tuple(map(str, range(51)))}}),
        ('no available Real-time endpoints for user "ann"', {"inference_type": "Real-time"}),
        ('"sd-async-other" is not among the available', {"sagemaker_endpoint_name": "sd-async-other"}),
        ("does not support task type rembg", {"task_type": "rembg"}),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_leaves_no_job(studio, words, changes):
    with pytest.raises(Invalid, match=words):
        studio.ask(**changes)

    assert {} == studio.jobs.kept


def test_jobs_go_only_to_endpoints_of_the_users_roles(studio):
    stranger = Caller(user=User(name="eve", roles=("other",), creator="api"))

    with pytest.raises(Invalid, match='no available Async endpoints for user "eve"'):
        studio.ask(caller=stranger)
    with pytest.raises(Invalid, match="is not among the available"):
        studio.ask(caller=stranger, sagemaker_endpoint_name="sd-async-1111111")


def test_jobs_go_only_to_endpoints_that_serve(studio):
    endpoints.delete(["sd-async-1111111"], world=studio.watched)

    with pytest.raises(Invalid, match="no available Async endpoints"):
        studio.ask()


@pytest.mark.parametrize("body", ["{", "[]", "\udcff"])
def test_uploaded_parameters_that_are_no_object_are_refused_and_may_be_uploaded_again(studio, body):
    studio.ask()
    studio.objects.kept[f"inferences/{JOB}/api_params.json"] = body.encode(errors="surrogateescape")

    with pytest.raises(Invalid, match="the uploaded parameters must be"):
        studio.start()

    upload(studio)
    assert "inprogress" == studio.start().status


def test_a_job_is_not_started_without_parameters_or_with_too_many(studio):
    studio.ask()
    with pytest.raises(Invalid, match="are not uploaded"):
        studio.start()
    upload(studio, " " * (inferences.LARGEST_PARAMS + 1))
    with pytest.raises(Invalid, match="have more than"):
        studio.start()

    assert "created" == get(studio).status


def test_a_job_that_is_started_twice_runs_once(studio):
    studio.ask()
    upload(studio)

    assert studio.start() == studio.start()
    assert [JOB] == studio.invocations.taken


def test_of_two_starts_at_once_one_calls_the_endpoint(studio):
    studio.ask()
    upload(studio)
    studio.life.before["save inprogress"] = studio.start

    assert "inprogress" == studio.start().status
    assert [JOB] == studio.invocations.taken


def test_a_job_that_is_cancelled_while_it_starts_leaves_nothing(studio):
    studio.ask()
    upload(studio)
    studio.life.before["save inprogress"] = lambda: cancel(studio)

    with pytest.raises(Invalid, match="was cancelled"):
        studio.start()

    assert ({}, []) == (studio.objects.kept, studio.invocations.taken)


def test_a_finished_job_is_not_started_again(studio):
    job = studio.running()
    results.take(answered(studio, job), now=NOW, jobs=studio.jobs, objects=studio.objects)

    with pytest.raises(Conflict, match="is succeeded, cannot become inprogress"):
        studio.start()


def test_a_result_that_comes_before_the_start_is_over_counts(studio):
    def finish():
        studio.objects.kept["async/output/1.out"] = an_answer()
        sent = results.Result(id=JOB, output="s3://bucket/async/output/1.out")
        results.take(sent, now=NOW, jobs=studio.jobs, objects=studio.objects)

    studio.ask()
    upload(studio)
    studio.life.before["submit"] = finish

    assert "succeeded" == studio.start().status
    assert "succeeded" == get(studio).status


def test_a_busy_endpoint_leaves_the_job_to_be_started_again(studio):
    studio.ask()
    upload(studio)
    studio.invocations.error = Busy("throttled")
    with pytest.raises(Busy):
        studio.start()
    studio.invocations.error = None

    assert "created" == get(studio).status
    assert "inprogress" == studio.start().status


def test_a_busy_endpoint_leaves_no_job_that_would_be_made_again(studio):
    studio.invocations.error = Busy("throttled")

    with pytest.raises(Busy):
        studio.ask(payload_string=PARAMS)

    assert ({}, {}) == (studio.jobs.kept, studio.objects.kept)


def test_an_endpoint_that_refuses_fails_the_job(studio):
    studio.invocations.error = Invalid("Endpoint not found")

    with pytest.raises(Invalid, match="Endpoint not found"):
        studio.ask(payload_string=PARAMS)

    assert ("failed", "Endpoint not found") == (get(studio).status, get(studio).error)


def test_a_job_is_there_only_for_those_who_may_see_it(studio):
    studio.running()

    for caller in (studio.ann, studio.chief, DEPLOYMENT):
        assert JOB == get(studio, caller=caller).id
    with pytest.raises(NotFound, match=f"inference with id {JOB} not found"):
        get(studio, caller=studio.bob)
    with pytest.raises(NotFound, match="not found"):
        cancel(studio, caller=studio.bob)
    with pytest.raises(Invalid, match=f"InferenceJobId {JOB} not found"):
        studio.start(caller=studio.bob)
    inferences.delete([JOB], caller=studio.bob, world=studio.world)
    assert JOB in studio.jobs.kept


def listed(studio, caller, task="txt2img", limit=10, start=None, username=None):
    return inferences.listed(
        task, limit=limit, start=start, username=username, caller=caller, jobs=studio.jobs
    )


def three(studio):
    for number, caller in enumerate((studio.ann, studio.bob, studio.ann)):
        studio.now = (datetime.fromisoformat(NOW) + timedelta(seconds=number)).isoformat(
            timespec="microseconds"
        )
        studio.ask(str(number) * 36, caller=caller)


def ids(page):
    return [each.id[0] for each in page.items]


def test_jobs_are_listed_in_pages_the_newest_first(studio):
    three(studio)

    first = listed(studio, DEPLOYMENT, limit=2)
    second = listed(studio, DEPLOYMENT, limit=2, start=first.token)

    assert (["2", "1"], ["0"], None) == (ids(first), ids(second), second.token)
    assert [] == ids(listed(studio, DEPLOYMENT, task="img2img"))


def test_a_list_has_what_the_caller_may_see(studio):
    three(studio)

    assert ["2", "0"] == ids(listed(studio, studio.ann))
    assert ["2", "0"] == ids(listed(studio, studio.ann, username="ann"))
    assert ["1"] == ids(listed(studio, studio.chief, username="bob"))
    assert ["2", "1", "0"] == ids(listed(studio, studio.chief))
    with pytest.raises(Refused, match="inference:all"):
        listed(studio, studio.ann, username="bob")


def test_a_key_of_another_list_is_refused(studio):
    three(studio)
    key = listed(studio, DEPLOYMENT, limit=1).token

    for wrong in (
        {"caller": studio.ann, "start": key},
        {"caller": DEPLOYMENT, "start": key, "task": "img2img"},
        {"caller": DEPLOYMENT, "start": key, "username": "ann"},
        {"caller": DEPLOYMENT, "start": "e30="},
    ):
        with pytest.raises(Invalid, match="exclusive_start_key"):
            listed(studio, **wrong)


def test_a_cancelled_job_leaves_no_objects_and_cancelling_again_is_fine(studio):
    studio.running()

    assert "cancelled" == cancel(studio).status
    assert "cancelled" == cancel(studio).status
    assert {} == studio.objects.kept


def test_a_finished_job_cannot_be_cancelled(studio):
    job = studio.running()
    results.take(answered(studio, job), now=NOW, jobs=studio.jobs, objects=studio.objects)

    with pytest.raises(Invalid, match="is succeeded, cannot become cancelled"):
        cancel(studio)


def test_a_real_time_job_that_is_cancelled_meanwhile_is_not_answered(studio):
    studio.serving(OTHER, endpoint_type="Real-time")
    studio.invocations.reply = an_answer()
    studio.life.before["answer"] = lambda: cancel(studio)

    with pytest.raises(Invalid, match="was cancelled"):
        studio.ask(inference_type="Real-time", payload_string=PARAMS)

    assert ({}, "cancelled") == (studio.objects.kept, get(studio).status)


def test_deleted_jobs_and_their_objects_are_gone_and_unknown_ones_are_fine(studio):
    job = studio.running()
    results.take(answered(studio, job), now=NOW, jobs=studio.jobs, objects=studio.objects)

    inferences.delete([JOB, "unknown", JOB], caller=studio.chief, world=studio.world)

    assert ({}, {}) == (studio.jobs.kept, studio.objects.kept)
