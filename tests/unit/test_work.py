"""Trainings, merges and crops: begun once, ended once, whatever happens in between."""

import json
from dataclasses import replace
from itertools import count

import pytest
from checkpoint_fakes import LATER, Killed, caller
from work_fakes import ID, OTHER, RESULT, Studio

from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid, NotFound, Refused, TimedOut
from atelier.lambdas.ports.work import Course
from atelier.lambdas.services.middleware import reasons, reports, work

FREE = {"one.safetensors", "two.safetensors", "three.safetensors"}


@pytest.fixture
def studio():
    return Studio()


def config(studio):
    return json.loads(studio.files.objects[f"work/{ID}/config.json"])


def test_a_training_is_begun_with_all_that_its_container_needs(studio):
    made = studio.train(learning_rate=1e-3)

    given = studio.executions.begun[ID]
    channels = {
        each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in given["channels"]
    }
    assert ("Starting", f"lora-{ID}", "ml.g4dn.xlarge") == (made.status, given["job"], given["instance_type"])
    assert {"config", "model", "dataset"} == channels.keys()
    assert channels["model"].endswith("/one.safetensors")
    assert channels["dataset"].startswith("s3://bucket/datasets/cats/")
    assert config(studio) == {
        **made.asked,
        "models": [{"name": "one.safetensors", "sha256": "ab"}],
        "output": f"s3://bucket/checkpoints/Lora/{RESULT}/cat.safetensors",
        "report": f"s3://bucket/work/{ID}/report/",
    }
    assert 1e-3 == config(studio)["params"]["config_params"]["learning_rate"]


def test_the_names_of_jobs_fit_sagemaker(studio):
    assert 63 >= len(studio.train().job)


def test_a_merge_has_a_channel_for_each_parent(studio):
    made = studio.merge("add_difference", "one.safetensors", "two.safetensors", "three.safetensors")

    channels = [each["ChannelName"] for each in studio.executions.begun[ID]["channels"]]
    assert ["config", "model", "model2", "model3"] == channels
    assert ("ml.m5.xlarge", "mixed.safetensors") == (made.instance_type, made.name)


def test_a_parent_may_be_named_by_its_id(studio):
    id = next(each.id for each in studio.checkpoints.kept.values() if "two.safetensors" in each.names)

    made = studio.merge("no_interpolation", id)

    assert ["two.safetensors"] == [each.name for each in made.parents]


def test_an_id_never_means_another_checkpoint_that_has_its_name_now(studio):
    two = next(each for each in studio.checkpoints.kept.values() if "two.safetensors" in each.names)
    gone = studio.checkpoints.add(replace(two, id=OTHER, status="Disabled"))

    with pytest.raises(Invalid, match=f"checkpoint with name {gone.id} not found"):
        studio.merge("no_interpolation", gone.id)


@pytest.mark.parametrize(
    ("method", "names", "words"),
    [
        ("weighted_sum", ["one.safetensors"], "takes 2 checkpoints, found 1"),
        ("no_interpolation", ["four.safetensors"], "checkpoint with name four.safetensors not found"),
        ("no_interpolation", [OTHER], "not found"),
    ],
)
def test_a_merge_that_cannot_be_is_refused_before_anything_begins(studio, method, names, words):
    with pytest.raises(Invalid, match=words):
        studio.merge(method, *names)

    assert ({}, {}) == (studio.works.kept, studio.executions.begun)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "four.safetensors"}, "Model not found: four.safetensors"),
        ({"dataset": "dogs"}, "Dataset not found: dogs"),
        ({"fm_type": "sd_xl"}, "fm_type sd_xl is not supported"),
        ({"enable_wd14_tagger": True}, "enable_wd14_tagger is not supported"),
        ({"network_depth": 3}, "config_params: network_depth not known"),
        ({"output_name": "cat.safetensors"}, "must be without .safetensors"),
        ({"training_comment": "x" * 100_000}, "at most 65536 characters"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_anything_begins(studio, changes, words):
    with pytest.raises(Invalid, match=words):
        studio.train(**changes)

    assert ({}, {}) == (studio.works.kept, studio.executions.begun)


def test_nobody_trains_what_they_may_not_see(studio):
    with pytest.raises(Invalid, match="Model not found"):
        studio.train(caller=studio.bob)


def test_a_disabled_dataset_is_not_trained_from(studio):
    studio.update("cats", "Disabled")

    with pytest.raises(Invalid, match="dataset cats is Disabled: enable it first"):
        studio.train()


def test_a_name_belongs_to_the_first_who_asks(studio):
    studio.train()

    with pytest.raises(Invalid, match=r"cat\.safetensors already exists"):
        studio.train(id=OTHER, result=OTHER)

    assert {ID} == studio.works.kept.keys()
    assert not [each for each in studio.files.objects if OTHER in each]


def test_what_is_being_made_keeps_its_name_for_as_long_as_it_takes(studio):
    studio.train()

    assert not studio.checkpoints.get(RESULT).is_abandoned(LATER)


def test_a_training_becomes_a_lora_that_knows_its_parents(studio):
    made = studio.train()
    studio.tell(made)
    work.begin(ID, world=studio.world)

    ended = studio.finish()

    lora = studio.checkpoints.get(RESULT)
    assert ("Completed", "Active", "Lora", "cd") == (
        ended.status,
        lora.status,
        lora.type,
        lora.files[0].sha256,
    )
    assert {"kind": "lora", "id": ID} == json.loads(lora.origin)["made_by"]
    assert ["one.safetensors"] == [each["name"] for each in json.loads(lora.origin)["parents"]]


def test_the_same_event_twice_changes_nothing(studio):
    studio.tell(studio.train())
    assert work.begin(ID, world=studio.world) == work.begin(ID, world=studio.world)

    once, lora = studio.finish(), studio.checkpoints.get(RESULT)

    assert (once, once) == (studio.finish(), studio.fail())
    assert lora == studio.checkpoints.get(RESULT)


def test_events_in_the_wrong_order_change_no_end(studio):
    studio.tell(studio.train())
    studio.fail("it burns")

    for late in (lambda: work.begin(ID, world=studio.world), studio.finish):
        with pytest.raises(Conflict):
            late()

    assert ("Failed", "it burns") == (studio.works.get(ID).status, studio.works.get(ID).error)
    assert FREE == studio.claims()


def test_a_failure_says_why_and_gives_the_name_back(studio):
    made = studio.train()
    studio.files.objects[made.output] = b"half a file"

    studio.fail(json.dumps({"FailureReason": "AlgorithmError: no picture can be read, exit code: 1"}))

    assert ("Failed", "no picture can be read") == (studio.works.get(ID).status, studio.works.get(ID).error)
    assert FREE == studio.claims()
    assert made.output not in studio.files.objects


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (
            {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"},
            "longer than work may take",
        ),
        ({"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped"}, "the job was stopped"),
        ({"errorMessage": "the job ended without a result", "errorType": "Failed"}, "without a result"),
        ("Unable to assume role (Service: AmazonSageMaker)", "Unable to assume role"),
        ("", "States.Timeout"),
    ],
)
def test_whatever_fails_has_a_reason(cause, words):
    text = cause if isinstance(cause, str) else json.dumps(cause)

    assert words in reasons.why({"Error": "States.Timeout", "Cause": text})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s, w: s.files.objects.pop(f"{w.report}result.json"), "ended without a result"),
        (lambda s, w: s.files.objects.update({f"{w.report}result.json": b"["}), "ended without a result"),
        (lambda s, w: s.files.objects.pop(w.output), "without what it was to make"),
        (lambda s, w: s.files.objects.update({w.output: b"no tensors"}), "not a safetensors file"),
        (lambda s, w: s.checkpoints.remove(s.checkpoints.get(RESULT)), "deleted before it was made"),
    ],
)
def test_a_job_that_left_nothing_useful_is_no_success(studio, spoil, words):
    made = studio.train()
    studio.tell(made)
    spoil(studio, made)

    with pytest.raises(Failed, match=words):
        studio.finish()

    assert not studio.works.get(ID).is_finished


def test_a_stop_ends_the_job_and_gives_the_name_back(studio):
    studio.train()

    assert "Stopped" == studio.stop().status
    assert ([f"lora-{ID}"], FREE) == (studio.executions.stopped, studio.claims())
    assert "Stopped" == studio.stop().status


def test_what_has_ended_cannot_be_stopped(studio):
    studio.tell(studio.train())
    studio.finish()

    with pytest.raises(Invalid, match="is Completed, cannot become Stopped"):
        studio.stop()


def test_a_stop_while_the_end_is_being_kept_leaves_no_checkpoint(studio):
    studio.tell(studio.merge("no_interpolation", "one.safetensors"))
    studio.life.interrupt = lambda: studio.stop(kind="merge")

    with pytest.raises((Conflict, Failed)):
        studio.finish()

    assert ("Stopped", FREE) == (studio.works.get(ID).status, studio.claims())


def test_only_the_creator_stops_a_merge_unless_one_may_everything(studio):
    studio.merge("no_interpolation", "one.safetensors")

    with pytest.raises(Refused):
        studio.stop(kind="merge", caller=studio.bob)

    assert "Stopped" == studio.stop(kind="merge", caller=caller("root", "checkpoint:all")).status


def test_work_of_another_kind_is_not_there(studio):
    studio.train()

    with pytest.raises(NotFound, match=f"Job with id {ID} not found"):
        studio.stop(kind="merge")


def test_deleting_stops_what_runs_and_leaves_what_was_made(studio):
    studio.tell(studio.train())
    studio.finish()
    work.delete([ID, OTHER], "lora", now=LATER, world=studio.world, executions=studio.executions)

    assert ({}, "Active") == (studio.works.kept, studio.checkpoints.get(RESULT).status)
    assert not [each for each in studio.files.objects if each.startswith("work/")]


def test_deleting_a_training_that_runs_stops_it(studio):
    studio.train()

    work.delete([ID], "lora", now=LATER, world=studio.world, executions=studio.executions)

    assert ({}, [f"lora-{ID}"], FREE) == (
        studio.works.kept,
        studio.executions.stopped,
        studio.claims(),
    )


def test_when_step_functions_is_too_busy_nothing_is_left(studio):
    studio.executions.trouble = Busy("not now")

    with pytest.raises(Busy):
        studio.train()

    assert ({}, FREE) == (studio.works.kept, studio.claims())
    assert not [each for each in studio.files.objects if each.startswith("work/")]


def test_when_nobody_knows_whether_it_was_begun_the_reconciler_sees(studio):
    studio.executions.trouble = TimedOut("no answer")

    assert "Starting" == studio.train().status
    studio.settle(LATER)

    assert ("Failed", FREE) == (studio.works.get(ID).status, studio.claims())


def test_an_execution_that_ended_in_silence_ends_the_work(studio):
    studio.train()
    studio.executions.courses[ID] = Course(is_running=False, reason="States.Runtime: too large")

    studio.settle(LATER)

    assert ("Failed", "States.Runtime: too large") == (
        studio.works.get(ID).status,
        studio.works.get(ID).error,
    )


def test_what_runs_is_left_alone(studio):
    made = studio.train()

    studio.settle(made.created)
    studio.settle(LATER)

    assert made == studio.works.get(ID)


ASKED = {
    "training": lambda studio: studio.train(),
    "merge": lambda studio: studio.merge("no_interpolation", "one.safetensors"),
    "crop": lambda studio: studio.crop(),
}


@pytest.mark.parametrize("kind", ASKED)
def test_a_function_that_is_killed_anywhere_leaves_nothing_for_ever(kind):
    """Killed after each of its writes in turn: the reconciler ends the work, and its name is free again."""
    for writes in count():
        studio = Studio()
        studio.life.left = writes
        try:
            ASKED[kind](studio)
        except Killed:
            studio.life.left = None
            studio.settle(LATER)
            ends = {"Failed"} if ID not in studio.executions.begun else {"Starting"}
            assert {each.status for each in studio.works.kept.values()} <= ends
            if ID not in studio.executions.begun:
                assert FREE == studio.claims()
        else:
            break
    assert writes >= 4


@pytest.mark.parametrize("kind", ASKED)
def test_an_end_that_is_killed_anywhere_is_the_same_when_it_comes_again(kind):
    for writes in count():
        studio = Studio()
        ASKED[kind](studio)
        studio.tell(studio.works.get(ID), files=[])
        studio.life.left = writes
        try:
            studio.finish()
        except Killed:
            studio.life.left = None
            assert "Completed" == studio.finish().status
        else:
            break
    assert writes >= 2


ENDS = {"fail": lambda studio, kind: studio.fail(), "stop": lambda studio, kind: studio.stop(kind=kind)}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("asked", "kind"), [("training", "lora"), ("merge", "merge"), ("crop", "crop")])
def test_an_end_without_success_that_is_killed_anywhere_is_brought_to_its_end(asked, kind, end):
    for writes in count():
        studio = Studio()
        ASKED[asked](studio)
        studio.life.left = writes
        try:
            ENDS[end](studio, kind)
        except Killed:
            studio.life.left = None
            studio.executions.courses[ID] = Course(is_running=False, reason="no memory")
            studio.settle(LATER)
        else:
            break
        found = studio.works.get(ID)
        assert (FREE, []) == (studio.claims(), list(studio.works.running()))
        assert found.status in {"Failed", "Stopped"}
        assert (found.status == "Stopped") == (f"{kind}-{ID}" in studio.executions.stopped)
        if kind == "crop":
            made = studio.datasets.get("cats_64x64")
            assert ("Disabled", found.status) == (made.status, made.crop.status)
    assert writes >= 3


def test_deleting_work_whose_end_was_killed_gives_its_name_back(studio):
    studio.train()
    studio.life.left = 1
    with pytest.raises(Killed):
        studio.fail()
    studio.life.left = None

    work.delete([ID], "lora", now=LATER, world=studio.world, executions=studio.executions)

    assert ({}, FREE) == (studio.works.kept, studio.claims())


def test_the_loss_is_told_while_it_trains_and_thinned_out(studio):
    made = studio.train()
    lines = [json.dumps({"step": each, "loss": 1 / (each + 1)}) for each in range(2000)]
    studio.files.objects[f"{made.report}metrics.jsonl"] = "\n".join([*lines, '{"step": 2000, "lo']).encode()
    studio.files.objects[f"{made.report}log.txt"] = b"begun"
    studio.files.objects[f"{made.report}samples/000001-0.png"] = b"png"

    report = reports.read(made, studio.files)

    assert (500, 0, 1999) == (len(report.metrics), report.metrics[0]["step"], report.metrics[-1]["step"])
    assert (("log.txt",), ("samples/000001-0.png",), None) == (report.logs, report.samples, report.result)


def test_a_training_that_saves_itself_very_often_still_tells_of_itself(studio):
    made = studio.train()
    for number in range(2000):
        studio.files.objects[f"{made.report}checkpoints/cat-{number:06}.safetensors"] = b""
        studio.files.objects[f"{made.report}samples/{number:06}-0.png"] = b"png"
    studio.files.objects[f"{made.report}log.txt"] = b"begun"

    report = reports.read(made, studio.files)

    assert (("log.txt",), 200) == (report.logs, len(report.samples))
    assert "samples/001999-0.png" == report.samples[-1]


def test_a_report_that_is_not_there_yet_is_empty(studio):
    assert reports.Report() == reports.read(studio.train(), studio.files)
