"""Generation, watched: a middleware in memory paints, is slow, fails or goes away."""

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

import pytest
from scripted_server import cuts, says
from standin_middleware import colour
from webui_form import txt2img

from atelier_webui import generation
from atelier_webui.accounts import account
from atelier_webui.client import Client
from atelier_webui.errors import JobFailed, Misunderstood, Problem, Refusal, Unreachable
from atelier_webui.generation import generate
from atelier_webui.history import History
from atelier_webui.jobs import Choice, Jobs
from atelier_webui.parameters import read

CHOICE = Choice(endpoint="sd-async-anna", checkpoint="tiny.safetensors")


class Person:
    """Watches, and asks for Interrupt or Skip once something is shown or is so."""

    def __init__(self, interrupts=lambda: False, skips=lambda: False):
        self.shown = []
        self.looks = []
        self._interrupts, self._skips = interrupts, skips

    def interrupted(self):
        self.looks.append(time.monotonic())
        return self._interrupts()

    def skipped(self):
        return self._skips()

    def show(self, progress):
        self.shown.append(progress)


class Hurry:
    """A clock that goes a hundred times as fast while somebody sleeps."""

    def __init__(self):
        self.extra = 0.0

    def now(self):
        return time.monotonic() + self.extra

    def sleep(self, seconds):
        time.sleep(seconds / 100)
        self.extra += seconds * 0.99


def form(prompt="a cat", **changes):
    return read(txt2img(prompt=prompt, seed=7, width=64, height=64, **changes))


def once(condition):
    """True the first time that a condition holds."""
    asked = []

    def ask():
        if asked or not condition():
            return False
        asked.append(True)
        return True

    return ask


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@pytest.fixture
def person():
    return Person()


def made(jobs, watch, prompt="a cat", choice=CHOICE, clock=None, **changes):
    return generate(form(prompt, **changes), choice, jobs=jobs, watch=watch, clock=clock)


def test_what_is_asked_for_comes_back(cloud, jobs, person):
    result = made(jobs, person, batch_size=2, n_iter=2)

    assert [7, 8, 9, 10] == [each.seed for each in result.pictures]
    assert [colour({"prompt": "a cat"}, seed) for seed in range(7, 11)] == [
        each.image.getpixel((3, 3)) for each in result.pictures
    ]
    assert all(f"Seed: {each.seed}" in each.infotext for each in result.pictures)
    assert ("a cat", "") == (result.pictures[0].prompt, result.comment)
    assert list(result.jobs) == list(cloud.jobs)


def test_a_prompt_in_any_script_comes_back_as_it_was(jobs, person):
    prompt = "кошка 猫 قطة 😀 \u200f\u0301 \0"

    assert prompt == made(jobs, person, prompt).pictures[0].prompt


def test_a_huge_batch_becomes_several_jobs_with_its_images_in_order(cloud, jobs, person):
    result = made(jobs, person, batch_size=8, n_iter=10)

    assert list(range(7, 87)) == [each.seed for each in result.pictures]
    assert 3 == len(cloud.jobs)
    assert (64, 80) == max((each.done, each.total) for each in person.shown)


def test_without_a_checkpoint_chosen_one_that_is_there_is_taken(cloud, jobs, person):
    made(jobs, person, choice=Choice())

    (job,) = cloud.jobs.values()
    assert "tiny.safetensors" == job["asked"]["override_settings"]["sd_model_checkpoint"]


def test_without_any_checkpoint_it_is_said_that_one_is_needed(cloud, jobs, person):
    cloud.checkpoints.clear()

    with pytest.raises(Problem, match="no checkpoint in the cloud yet"):
        made(jobs, person, choice=Choice())


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(endpoint="sd-async-gone", checkpoint="tiny.safetensors"), "sd-async-gone"),
        (Choice(checkpoint="gone.safetensors"), "checkpoint with name gone.safetensors not found"),
    ],
)
def test_a_refusal_comes_in_the_middlewares_words(jobs, person, choice, words):
    with pytest.raises(Refusal, match=words):
        made(jobs, person, choice=choice)


def test_a_job_that_fails_says_why_and_which(cloud, jobs, person):
    with pytest.raises(JobFailed, match="no such picture") as caught:
        made(jobs, person, "fail")

    assert [caught.value.id] == list(cloud.jobs)


def test_a_job_that_somebody_cancels_fails(cloud, jobs):
    person = Person()
    cancelling = threading.Timer(
        0.5, lambda: [each.update(status="cancelled") for each in cloud.jobs.values()]
    )
    cancelling.start()

    with pytest.raises(JobFailed, match="was cancelled"):
        made(jobs, person, "slow")


def test_a_job_that_somebody_deletes_fails(cloud, jobs, person):
    threading.Timer(0.5, cloud.jobs.clear).start()

    with pytest.raises(JobFailed, match="was deleted"):
        made(jobs, person, "slow")


def test_an_answer_that_is_no_image_is_called_so(jobs, person):
    with pytest.raises(Misunderstood, match=r"image 1 of job .* is no image"):
        made(jobs, person, "page")


def test_interrupt_cancels_the_job(cloud, jobs):
    person = Person(interrupts=lambda: bool(cloud.statuses()))

    result = made(jobs, person, "slow")

    assert ((), "Interrupted. 0 of 1 images.") == (result.pictures, result.comment)
    assert ["cancelled"] == cloud.statuses()


def test_interrupt_before_anything_was_sent_sends_nothing(cloud, jobs):
    result = made(jobs, Person(interrupts=lambda: True))

    assert () == result.pictures
    assert {} == cloud.jobs


def test_interrupt_while_a_job_is_submitted_cancels_it_once_it_is_there(cloud, jobs):
    submit, begun, go_on = cloud.answer, threading.Event(), threading.Event()

    def slow(name, *given):
        if name == "CreateInferenceJob":
            begun.set()
            go_on.wait(10)
        return submit(name, *given)

    cloud.answer = slow
    result = made(jobs, Person(interrupts=begun.is_set), "slow")
    assert [] == cloud.statuses()
    go_on.set()

    until(lambda: cloud.statuses() == ["cancelled"])
    assert () == result.pictures


def test_interrupt_keeps_what_is_finished_and_cancels_the_rest(cloud, jobs):
    made_before = cloud._started

    def only_the_first(id, params):
        return made_before(id, params if params["seed"] == 7 else {**params, "prompt": "slow"})

    cloud._started = only_the_first
    person = Person()
    person._interrupts = lambda: any(each.done == 32 for each in person.shown)

    result = made(jobs, person, n_iter=80)

    assert list(range(7, 39)) == [each.seed for each in result.pictures]
    assert ["succeeded", "cancelled", "cancelled"] == cloud.statuses()
    assert "Interrupted. 32 of 80 images." == result.comment


def test_skip_cancels_the_part_that_is_waited_for(cloud, jobs):
    start = cloud._started

    def the_first_is_slow(id, params):
        return start(id, {**params, "prompt": "slow"} if params["seed"] == 7 else params)

    cloud._started = the_first_is_slow
    person = Person(skips=once(lambda: len(cloud.jobs) == 2))

    result = made(jobs, person, n_iter=40)

    assert list(range(39, 47)) == [each.seed for each in result.pictures]
    assert ["cancelled", "succeeded"] == cloud.statuses()
    assert "8 of 40 images" in result.comment


@pytest.mark.parametrize("moment", range(12))
def test_interrupt_at_any_moment_leaves_no_job_running(cloud, jobs, moment):
    looks = []

    def interrupts():
        looks.append(None)
        return len(looks) > moment

    made(jobs, Person(interrupts=interrupts), "slow", n_iter=40)

    until(lambda: not {"created", "inprogress"} & set(cloud.statuses()))


@pytest.mark.parametrize("moment", range(8))
def test_skip_at_any_moment_ends_well(cloud, jobs, moment):
    looks = []

    def skips():
        looks.append(None)
        return len(looks) == moment + 1

    made(jobs, Person(skips=skips, interrupts=lambda: len(looks) > 40), "slow", clock=Hurry())

    until(lambda: ["cancelled"] == cloud.statuses())


def test_somebody_looks_at_interrupt_all_the_time(cloud, jobs):
    slow = cloud.answer

    def answer(*given):
        time.sleep(0.7)
        return slow(*given)

    cloud.answer = answer
    person = Person()
    made(jobs, person)

    pauses = [after - before for before, after in zip(person.looks, person.looks[1:], strict=False)]
    assert len(person.looks) > 5
    assert sorted(pauses)[len(pauses) // 2] < 0.3


def test_a_lost_connection_resumes(cloud, jobs):
    person = Person()
    cutting = threading.Timer(0.6, lambda: setattr(cloud, "cuts", 9))
    cutting.start()
    threading.Timer(0.7, cloud.finish).start()

    result = made(jobs, person, "slow")

    assert 1 == len(result.pictures)
    assert 0 == cloud.cuts
    assert 1 == len(cloud.jobs)


def test_a_connection_that_stays_lost_is_given_up_and_the_job_is_not(cloud, jobs, monkeypatch):
    threading.Timer(0.6, lambda: setattr(cloud, "cuts", 10**6)).start()
    person = Person()
    monkeypatch.setattr(generation, "PATIENCE", 4.0)

    with pytest.raises(Unreachable, match="goes on: look in the Atelier tab"):
        made(jobs, person, "slow")

    assert any("Trying again" in each.text for each in person.shown)
    assert ["inprogress"] == cloud.statuses()


def test_a_job_that_is_said_to_go_on_is_not_cancelled_when_the_connection_is_back(cloud, jobs, monkeypatch):
    monkeypatch.setattr(generation, "PATIENCE", 0.0)
    threading.Timer(0.6, lambda: setattr(cloud, "cuts", 4)).start()

    with pytest.raises(Unreachable, match="goes on"):
        made(jobs, Person(), "slow")

    assert 0 == cloud.cuts
    assert 0 == cloud.times("CancelInferenceJob")
    assert ["inprogress"] == cloud.statuses()


def test_a_call_that_ends_as_its_wait_runs_out_is_not_lost(jobs, person):
    class EndsJustThen(Future):
        def result(self, timeout=None):
            if self.done():
                return super().result(timeout)
            self.set_result("the answer")
            raise NotYet

    making = generation.Making(jobs=jobs, watch=person, total=1, clock=generation.Clock())

    assert "the answer" == making.wait(EndsJustThen())


def test_a_token_revoked_while_a_job_waits_ends_the_waiting(cloud, jobs, person):
    threading.Timer(0.5, cloud.tokens.clear).start()

    with pytest.raises(Refusal, match="does not know this token"):
        made(jobs, person, "slow")


def test_an_endpoint_deleted_while_a_job_waits_ends_the_waiting(cloud, jobs, person):
    threading.Timer(0.3, cloud.endpoints.clear).start()

    with pytest.raises(JobFailed, match="Endpoint sd-async-anna was deleted"):
        made(jobs, person, "slow", clock=Hurry())
    assert ["cancelled"] == cloud.statuses()


def test_an_endpoint_that_wakes_up_is_said_to(cloud, jobs):
    cloud.endpoints["sd-async-anna"]["current_instance_count"] = "0"
    person = Person()
    person._interrupts = lambda: any("wakes up" in each.text for each in person.shown)

    assert "Interrupted" in made(jobs, person, "slow", clock=Hurry()).comment


def test_a_part_that_is_refused_takes_those_before_it_back(cloud, jobs, person):
    create = cloud._CreateInferenceJob

    def two_only(**given):
        if len(cloud.jobs) == 2:
            cloud.endpoints.clear()
        return create(**given)

    cloud._CreateInferenceJob = two_only

    with pytest.raises(Refusal, match="sd-async-anna"):
        made(jobs, person, "slow", n_iter=100)
    assert ["cancelled", "cancelled"] == cloud.statuses()


def test_a_part_that_fails_leaves_the_others_their_images(cloud, jobs, person):
    start = cloud._started

    def the_second_fails(id, params):
        return start(id, {**params, "prompt": "fail"} if params["seed"] == 39 else params)

    cloud._started = the_second_fails

    result = made(jobs, person, n_iter=80)

    assert 32 == len(result.pictures)
    assert "no such picture" in result.comment
    assert "32 of 80 images" in result.comment


def test_a_finished_job_shows_at_once(cloud, jobs, person):
    painted = []
    finish = cloud.finish

    def note():
        finish()
        painted.append(time.monotonic())

    threading.Timer(3.0, note).start()

    made(jobs, person, "slow")

    assert time.monotonic() - painted[0] < 3.0


def test_two_tabs_do_not_meet(cloud, client, tmp_path):
    results = {}

    def tab(name):
        jobs = Jobs(client, History(tmp_path / "history"))
        results[name] = made(jobs, Person(), f"a picture for {name}", n_iter=2)

    tabs = [threading.Thread(target=tab, args=(f"tab {number}",)) for number in range(6)]
    for each in tabs:
        each.start()
    for each in tabs:
        each.join()

    assert {f"tab {number}": f"a picture for tab {number}" for number in range(6)} == {
        name: each.pictures[1].prompt for name, each in results.items()
    }


def test_an_answer_that_gets_lost_as_a_job_is_made_is_not_asked_for_again(server, tmp_path):
    client = Client(account("odd", server.url, "secret"))
    nothing = {"page": 1, "per_page": 100, "pages": 1, "total": 0, "checkpoints": []}
    server.answers(says(200, {"data": nothing}), cuts(), says(500, {}))

    with pytest.raises(Unreachable):
        made(Jobs(client, History(tmp_path)), Person())
    client.close()
    assert ["GET", "POST"] == [each[0] for each in server.asked]
