"""What the fleet makes of models that land: good ones, bad ones, and all of it in any order."""

import gzip
import hashlib
import io
import tarfile

import pytest
from fleet_fakes import BUSY, LATER, NOW, SOON, archive, moment, packed, world

from atelier.contract import fleet as words
from atelier.lambdas.domain.fleet import State
from atelier.lambdas.errors import Busy, Conflict
from atelier.lambdas.services import archives, fleet


def look(it, now=NOW):
    return fleet.look(now=now, world=it)


def settle(it, now=NOW):
    return fleet.settle(now=now, world=it)


def serving(name="first", second=0):
    """A fleet that serves one model."""
    it = world()
    it.bucket.land(name, archive(name), second)
    look(it)
    it.service.complete()
    settle(it)
    return it


def test_nothing_happens_where_nothing_has_landed():
    it = world()

    assert ("unchanged", "no model has landed yet") == (look(it).outcome, look(it).summary)
    assert [] == it.service.deployed


def test_the_first_model_starts_the_first_task_and_serves_when_ecs_says_so():
    it = world()
    it.bucket.land("first", archive(), 0)

    assert "trying" == look(it).outcome
    assert ([1], 1) == (it.service.deployed, it.service.desired)
    assert "first" == it.parameter.get().name
    assert "trying" == settle(it).outcome
    assert [] == it.people.told

    it.service.complete()
    assert "serving" == settle(it).outcome
    assert ["The fleet serves first"] == it.people.subjects
    assert "30 seconds after it landed" in it.people.told[0][1]
    assert {"first": "serving"} == it.memory.became()


def test_a_newer_model_takes_the_place_of_the_one_before():
    it = serving()
    it.bucket.land("second", archive("second"), 10)

    look(it)
    it.service.complete()
    settle(it)

    assert {"first": "retired", "second": "serving"} == it.memory.became()
    assert "second" == it.parameter.get().name


def test_a_task_that_starts_while_a_model_is_tried_finds_the_good_one():
    it = serving()
    it.bucket.land("second", archive("second"), 10)

    look(it)

    assert ("second", "first") == (
        it.parameter.versions[it.service.version - 1].name,
        it.parameter.get().name,
    )


def test_the_same_event_twice_is_one_deployment_and_one_report():
    it = serving()
    it.bucket.land("second", archive("second"), 10)

    for _ in range(3):
        look(it)
    it.service.complete()
    for _ in range(3):
        settle(it)
        look(it)

    assert [1, 3] == it.service.deployed
    assert ["The fleet serves first", "The fleet serves second"] == it.people.subjects


def test_a_burst_is_one_deployment_of_its_newest():
    it = serving()
    for number in range(5):
        it.bucket.land(f"burst-{number}", archive(str(number)), 10 + number)

    look(it)

    assert [1, 3] == it.service.deployed
    assert "burst-4" == it.memory.state().trial.model.name


def test_a_model_uploaded_again_under_its_name_is_a_newer_one_even_in_the_same_second():
    it = serving(second=5)
    it.bucket.land("first", archive("better"), 5)

    assert "trying" == look(it).outcome


def test_an_older_model_never_replaces_a_newer():
    it = serving("newer", second=20)
    it.bucket.land("older", archive("older"), 10)

    assert "unchanged" == look(it).outcome
    assert [1] == it.service.deployed


@pytest.mark.parametrize("has_checksum", [True, False])
def test_a_model_is_left_alone_until_its_sha256_is_there(has_checksum):
    it, body = serving(), archive("second")
    it.bucket.put(words.key("second"), body, 10)

    assert "unchanged" == look(it).outcome
    if has_checksum:
        it.bucket.put(words.beside(words.key("second")), hashlib.sha256(body).hexdigest().encode(), 11)
        assert "trying" == look(it).outcome
    assert "refused" != it.memory.became().get("second")


def test_a_new_upload_beside_the_sha256_of_the_old_waits_for_its_own():
    it, body = serving(), archive("second")
    it.bucket.put(words.key("first"), body, 10)

    assert "unchanged" == look(it).outcome
    assert 1 == len(it.people.told)

    it.bucket.put(words.beside(words.key("first")), hashlib.sha256(body).hexdigest().encode(), 12)
    assert "trying" == look(it).outcome


def test_a_model_whose_sha256_is_wrong_is_refused_and_told_once_and_the_old_serves():
    it = serving()
    it.bucket.land("second", archive("second"), 10, beside="0" * 64)

    look(it)
    look(it)

    assert [1] == it.service.deployed
    assert "refused" == it.memory.became()["second"]
    assert ["The fleet serves first", "The fleet refused second"] == it.people.subjects
    assert "was said to be 000" in it.people.told[1][1]
    assert "first" == it.parameter.get().name


def test_a_corrected_sha256_gives_a_model_another_chance():
    it, body = serving(), archive("second")
    it.bucket.land("second", body, 10, beside="0" * 64)
    look(it)

    it.bucket.put(words.beside(words.key("second")), hashlib.sha256(body).hexdigest().encode(), 20)

    assert "trying" == look(it).outcome


def test_a_file_beside_that_holds_no_sha256_is_refused_in_words():
    it = serving()
    it.bucket.land("second", archive("second"), 10, beside="see the wiki")

    look(it)

    assert "no SHA-256 of 64 hexadecimal digits" in it.people.told[1][1]


@pytest.mark.parametrize(
    ("body", "flaw"),
    [
        (b"no archive at all", "no whole .tar.gz"),
        (archive("x" * 5000)[:-200], "no whole .tar.gz"),
        (archive(tokenizer__json=None), "it lacks tokenizer.json"),
        (archive(config__json=b"{"), "its config.json is not JSON"),
        (archive(config__json=b'{"model_type": "llama"}'), "describes ('llama', None)"),
        (packed([(tarfile.TarInfo("../escape"), b"x")]), "'../escape', which is no plain file"),
        (packed([(tarfile.TarInfo("/etc/passwd"), b"x")]), "'/etc/passwd', which is no plain file"),
    ],
    ids=["text", "cut", "incomplete", "broken", "another", "above", "elsewhere"],
)
def test_an_archive_that_no_container_can_load_never_reaches_a_task(body, flaw):
    it = serving()
    it.bucket.land("second", body, 10)

    look(it)

    assert flaw in it.people.told[-1][1]
    assert [1] == it.service.deployed


def test_a_link_in_an_archive_is_refused():
    link = tarfile.TarInfo("config.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"

    assert "no plain file" in archives.read(io.BytesIO(packed([(link, b"")]))).flaw


def test_an_archive_that_finds_no_room_on_a_tasks_disk_is_refused(monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 10 * 2**20)
    padded = gzip.compress(b"\0" * 64) + b"\0" * (10 * 2**20)
    large = tarfile.TarInfo("weights")

    unpacked = archives.read(io.BytesIO(packed([(large, b"\0" * (10 * 2**20 + 1))]))).flaw
    assert "unpacks to more than 1000 files or" in unpacked
    assert "it is larger than" in archives.read(io.BytesIO(archive() + padded)).flaw


def test_an_archive_is_read_once_and_in_pieces():
    class Pieces(io.BytesIO):
        largest = 0

        def read(self, amount=-1):
            Pieces.largest = max(Pieces.largest, amount if amount >= 0 else 10**12)
            return super().read(amount)

    body = archive("y" * 3_000_000)
    found = archives.read(Pieces(body))

    assert (hashlib.sha256(body).hexdigest(), len(body), "") == (found.sha256, found.size, found.flaw)
    assert archives.PIECE >= Pieces.largest


def test_below_a_refused_model_the_next_newest_gets_its_chance():
    it = serving()
    it.bucket.land("sound", archive("sound"), 10)
    it.bucket.land("broken", b"broken", 12)

    look(it)

    assert "sound" == it.memory.state().trial.model.name
    assert {"broken": "refused", "sound": "trying"}.items() <= it.memory.became().items()


def test_a_model_that_tasks_cannot_serve_is_taken_back_and_never_tried_again():
    it = serving()
    it.bucket.land("garbage", archive("garbage"), 10)
    look(it)
    it.service.said = "the model answers no better than guessing"
    it.service.roll_back()

    assert "refused" == settle(it).outcome
    look(it)

    assert [1, 3] == it.service.deployed
    assert "first" == it.parameter.get().name
    assert {"first": "serving", "garbage": "refused"} == it.memory.became()
    assert "The fleet refused garbage" == it.people.subjects[-1]
    assert "no better than guessing\nfirst, which landed at" in it.people.told[-1][1]


def test_without_a_good_model_a_bad_one_leaves_no_tasks():
    it = world()
    it.bucket.land("garbage", archive("garbage"), 0)
    look(it)
    it.service.roll_back("tasks failed to start")

    assert "refused" == settle(it).outcome
    assert (0, None) == (it.service.desired, it.parameter.get())
    assert "tasks failed to start\nNothing serves yet." in it.people.told[0][1]


def test_tasks_of_a_bad_model_are_taken_away_also_after_a_look_that_died():
    it = world()
    it.bucket.land("garbage", archive("garbage"), 0)
    look(it)
    it.service.roll_back()
    it.parameter.fault = BUSY
    with pytest.raises(Busy):
        settle(it)
    it.service.desired, it.parameter.fault = 1, None

    assert "unchanged" == settle(it).outcome
    assert (0, None) == (it.service.desired, it.parameter.get())


def test_tasks_that_another_look_has_begun_with_meanwhile_are_not_taken_away():
    it = world()
    it.bucket.land("first", archive(), 0)
    look(it)
    it.memory.state = State  # read before the other look wrote down what it tries

    with pytest.raises(Conflict):
        settle(it)
    assert (1, "first") == (it.service.desired, it.parameter.get().name)


def test_a_good_model_that_a_bad_one_overtook_gets_its_turn():
    it = serving()
    it.bucket.land("good", archive("good"), 10)
    look(it)
    it.bucket.land("bad", archive("bad"), 12)
    look(it)
    assert "superseded" == it.memory.became()["good"]

    it.service.roll_back()
    settle(it)
    look(it)

    assert 4 == len(it.service.deployed)
    assert "good" == it.memory.state().trial.model.name


def test_a_look_that_finds_a_rollback_before_its_event_settles_it():
    it = serving()
    it.bucket.land("garbage", archive("garbage"), 10)
    look(it)
    it.service.roll_back()

    assert "refused" == look(it).outcome
    assert "unchanged" == settle(it).outcome  # the event, late
    assert 1 == it.people.subjects.count("The fleet refused garbage")


def test_a_model_that_a_stack_update_overtook_is_tried_again_on_top_of_it():
    it = serving()
    it.bucket.land("second", archive("second"), 10)
    look(it)
    it.service.version, it.service.stack, it.service.rollout = None, "stack:2", "IN_PROGRESS"
    assert "trying" == look(it).outcome
    assert 2 == len(it.service.deployed)

    it.service.rollout = "COMPLETED"
    look(it, LATER)
    assert 3 == len(it.service.deployed)
    it.service.complete()

    assert "serving" == settle(it).outcome
    assert "second" == it.parameter.get().name


def test_a_rollback_to_the_revision_of_the_stack_is_no_update_of_it():
    it = serving()
    it.service.version, it.service.stack, it.service.good = None, "stack:2", None  # deployed since
    it.service.rollout = "COMPLETED"
    it.bucket.land("garbage", archive("garbage"), 10)
    look(it)
    it.service.version, it.service.rollout = None, "COMPLETED"

    assert "refused" == settle(it, SOON).outcome
    assert "first" == it.parameter.get().name


def test_a_fleet_that_is_made_anew_serves_again_what_it_served():
    it = serving()
    it.service.version, it.service.desired, it.service.stack = None, 0, "stack:7"

    assert "trying" == look(it).outcome
    assert 1 == it.service.desired
    it.service.complete()

    assert "serving" == settle(it).outcome
    assert {"first": "serving"} == it.memory.became()


def test_a_person_may_have_a_fleet_rest():
    it = serving()
    it.service.desired = 0

    assert "unchanged" == look(it).outcome
    assert 0 == it.service.desired


def test_what_ecs_shows_late_is_no_rollback():
    it = serving()
    it.bucket.land("second", archive("second"), 10)
    look(it)
    shown = it.service.version
    it.service.version = it.service.good

    with pytest.raises(Busy, match="does not show yet that second is being deployed"):
        settle(it)

    it.service.version = shown
    assert "trying" == settle(it).outcome


def test_a_deployment_that_never_ends_is_given_up():
    it = serving()
    it.bucket.land("endless", archive("endless"), 10)
    look(it)
    assert "trying" == settle(it, SOON).outcome

    assert "refused" == look(it, LATER).outcome
    assert it.service.good == it.service.version
    assert {"first": "serving", "endless": "refused"} == it.memory.became()
    assert "did not get healthy within 200 seconds" in it.people.told[-1][1]

    look(it, LATER)
    assert [1, 3] == it.service.deployed


def test_where_ecs_had_nothing_to_go_back_to_the_fleet_goes_back_by_itself():
    it = serving()
    it.bucket.land("garbage", archive("garbage"), 10)
    look(it)
    good, it.service.good = it.service.good, None  # ECS is still going back from a bad model before
    it.service.roll_back()
    assert "FAILED" == it.service.rollout

    assert "refused" == settle(it).outcome
    assert good == it.service.version
    assert {"first": "serving", "garbage": "refused"} == it.memory.became()


def test_a_look_that_died_as_it_gave_up_is_gone_on_with():
    it = serving()
    it.bucket.land("endless", archive("endless"), 10)
    look(it)
    it.people.fault = BUSY
    with pytest.raises(Busy):
        settle(it, LATER)
    it.people.fault = None

    assert "refused" == settle(it, LATER).outcome
    assert 1 == it.people.subjects.count("The fleet refused endless")


def test_of_two_models_of_one_second_neither_overtakes_the_other_twice():
    it = serving()
    for name in ("one", "two"):
        it.bucket.land(name, archive(name), 10)
    look(it)
    it.service.complete()

    settle(it)
    look(it)

    assert [1, 3] == it.service.deployed
    assert "two" == it.parameter.get().name


def test_a_look_that_died_before_it_told_ecs_is_gone_on_with_but_not_at_once():
    it = serving()
    it.bucket.land("second", archive("second"), 10)
    it.service.fault = BUSY
    with pytest.raises(Busy):
        look(it)
    it.service.fault = None

    with pytest.raises(Busy, match="another look brings second to the fleet"):
        look(it)
    assert "trying" == look(it, LATER).outcome
    it.service.complete()
    assert "serving" == settle(it).outcome


def test_of_two_looks_at_one_time_one_goes_on():
    it = serving()
    it.bucket.land("second", archive("second"), 10)
    it.memory.overtaken = True

    with pytest.raises(Conflict):
        look(it)
    assert [1] == it.service.deployed


def _told_twice():
    """A fleet to which two looks brought one model, the first of them so slowly that it told ECS last."""
    it = serving()
    it.bucket.land("second", archive("second"), 10)
    it.service.fault = BUSY
    with pytest.raises(Busy):
        look(it)
    claimed = it.memory.kept
    it.service.fault = None
    look(it, SOON)
    with pytest.raises(Conflict):
        fleet.deploy(claimed, now=SOON, world=it)
    return it


def test_a_model_that_a_slow_look_brought_once_more_serves():
    it = _told_twice()
    assert it.memory.kept.trial.definition != it.service.look().definition

    assert "trying" == settle(it, SOON).outcome
    it.service.complete()

    assert "serving" == settle(it, SOON).outcome
    assert {"first": "retired", "second": "serving"} == it.memory.became()
    assert "second" == it.parameter.get().name


def test_a_bad_model_that_a_slow_look_brought_once_more_is_refused():
    it = _told_twice()
    it.service.roll_back()

    assert "refused" == settle(it, SOON).outcome
    assert {"first": "serving", "second": "refused"} == it.memory.became()
    assert "first" == it.parameter.get().name


def test_what_s3_cuts_off_is_no_broken_model():
    it = serving()
    it.bucket.land("second", archive("second"), 10)
    it.bucket.fault = Busy("S3 left off 5 bytes before the end, try again")

    with pytest.raises(Busy):
        look(it)
    assert "second" not in it.memory.became()


def test_a_report_that_does_not_get_through_comes_again():
    it = world()
    it.bucket.land("first", archive(), 0)
    look(it)
    it.service.complete()
    it.people.fault = Busy("SNS does not answer, try again")
    with pytest.raises(Busy):
        settle(it)

    it.people.fault = None
    assert "serving" == settle(it).outcome
    assert ["The fleet serves first"] == it.people.subjects


def test_a_parameter_that_names_another_model_than_the_one_that_serves_is_put_right():
    it = serving()
    it.parameter.clear()

    settle(it)

    assert "first" == it.parameter.get().name


def test_a_model_that_vanishes_from_the_bucket_goes_on_serving():
    it = serving()
    it.bucket.objects.clear()

    assert ("unchanged", "first serves") == (look(it).outcome, look(it).summary)


def test_names_below_the_prefix_are_as_they_are_documented():
    assert words.KEY.fullmatch("fleet/gpt-neo/model.tar.gz")["name"] == "gpt-neo"
    for wrong in (
        "fleet/model.tar.gz",
        "fleet/A/model.tar.gz",
        "fleet/a/b/model.tar.gz",
        "other/a/model.tar.gz",
    ):
        assert words.KEY.fullmatch(wrong) is None
    assert "fleet/a/model.tar.gz.sha256" == words.beside(words.key("a"))
    assert moment(61).startswith("2001-01-01T12:01:01")
