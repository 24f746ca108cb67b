"""Checkpoints: uploads, names, races and kills."""

from dataclasses import replace

import pytest
from account_fakes import FakeAccounts, with_role, with_user
from checkpoint_fakes import LATER, NOW, SOON, Killed, Studio, caller, safetensors

from atelier.contract.api.checkpoints import CreateCheckpointRequest, File, Part, Remarks
from atelier.lambdas.domain.checkpoints import checked_name
from atelier.lambdas.errors import Busy, Invalid, NotFound, Refused
from atelier.lambdas.services.middleware import checkpoints, digests
from atelier.lambdas.services.middleware.checkpoints import Wanted

TAG = (Part(ETag="e1", PartNumber=1),)
OPERATOR = caller("root", "checkpoint:all", roles=("IT Operator",))


@pytest.fixture
def studio():
    return Studio()


def asked(*names, type="Lora", **more):
    files = tuple(File(filename=each, parts_number=1) for each in names) or None
    return CreateCheckpointRequest(checkpoint_type=type, filenames=files, **more)


def planned(*names, id="1", now=NOW, by=None, pickled=False, **more):
    return checkpoints.plan(asked(*names, **more), id=id, now=now, caller=by or caller(), pickled=pickled)


def begin(studio, *names, now=NOW, **more):
    return checkpoints.upload(planned(*names, now=now, **more), now=now, world=studio.world)


def send(studio, checkpoint, body=None):
    for each in checkpoint.files:
        studio.store.put(each, 1, safetensors() if body is None else body)


def finish(studio, checkpoint, by=None):
    tags = dict.fromkeys(checkpoint.names, TAG)
    return checkpoints.complete(checkpoint.id, tags, caller=by or caller(), world=studio.world)


def active(studio, *names, **more):
    made = begin(studio, *names, **more)
    send(studio, made)
    return finish(studio, made, by=OPERATOR)


def test_an_uploaded_checkpoint_becomes_active(studio):
    made = begin(studio, "a.safetensors", "b.safetensors")
    send(studio, made)

    done = finish(studio, made)

    assert "Active" == done.status
    assert {"checkpoints/Lora/1/a.safetensors", "checkpoints/Lora/1/b.safetensors"} == set(
        studio.store.objects
    )


def test_to_complete_twice_is_fine(studio):
    made = begin(studio, "a.safetensors")
    send(studio, made)

    assert finish(studio, made) == finish(studio, made)


@pytest.mark.parametrize("tags", [None, {}, {"a.safetensors": ()}, {"other.safetensors": TAG}])
def test_without_the_tags_of_every_file_nothing_is_completed(studio, tags):
    made = begin(studio, "a.safetensors")

    with pytest.raises(Invalid, match="multi parts tags is empty"):
        checkpoints.complete(made.id, tags, caller=caller(), world=studio.world)


def test_tags_of_other_files_and_of_a_part_twice_are_refused(studio):
    made = begin(studio, "a.safetensors")

    with pytest.raises(Invalid, match=r'"b\.safetensors" is not a file'):
        checkpoints.complete(
            made.id, {"a.safetensors": TAG, "b.safetensors": TAG}, caller=caller(), world=studio.world
        )
    with pytest.raises(Invalid, match="is there twice"):
        checkpoints.complete(made.id, {"a.safetensors": TAG * 2}, caller=caller(), world=studio.world)


def test_parts_that_were_not_uploaded_leave_the_upload_as_it_was(studio):
    made = begin(studio, "a.safetensors")

    with pytest.raises(Invalid, match="could not be found"):
        finish(studio, made)
    send(studio, made)

    assert "Active" == finish(studio, made).status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"PK\x03\x04 a pickle",
        b"12345678",
        safetensors()[:-1],
        safetensors() + b"\0",
        (10).to_bytes(8, "little") + b"{",
        (2).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"{[[[",
        (1 << 62).to_bytes(8, "little") + b"{" * 100,
        (8).to_bytes(8, "little") + b'{"w":[]}',
    ],
)
def test_a_file_that_is_no_whole_safetensors_file_disables_its_checkpoint(studio, body):
    made = begin(studio, "a.safetensors")
    send(studio, made, body)

    with pytest.raises(Invalid, match=r"a\.safetensors is not a (whole )?safetensors file"):
        finish(studio, made)

    assert "Disabled" == studio.checkpoints.get("1").status
    assert {} == studio.store.objects
    assert "Active" == active(studio, "a.safetensors", id="2").status


def test_a_header_longer_than_the_first_read_is_read_whole(studio):
    made = begin(studio, "a.safetensors")
    body = safetensors()
    padded = body[8:-8] + b" " * 600_000
    send(studio, made, len(padded).to_bytes(8, "little") + padded + body[-8:])

    assert "Active" == finish(studio, made).status


@pytest.mark.parametrize(
    "name",
    [
        "../a.safetensors",
        "a/b.safetensors",
        "a\\b.safetensors",
        ".safetensors",
        " a.safetensors",
        "a\n.safetensors",
        "a\0.safetensors",
        "C:a.safetensors",
        "a\u202e.safetensors",
        "é" * 125 + ".safetensors",
        "\ud800.safetensors",
    ],
)
def test_a_name_that_is_a_path_or_cannot_be_shown_is_refused(name):
    with pytest.raises(Invalid, match="not a plain name"):
        checked_name(name, pickled=True)


def test_pickled_files_are_for_deployments_that_allow_them():
    with pytest.raises(Invalid, match="pickled file, which this deployment refuses"):
        checked_name("a.ckpt", pickled=False)
    with pytest.raises(Invalid, match=r"not a \.safetensors file"):
        checked_name("a.exe", pickled=True)

    assert "a.pt" == checked_name("a.pt", pickled=True)
    assert "模型 v1.safetensors" == checked_name("模型 v1.safetensors", pickled=False)


def test_a_pickled_file_is_not_read(studio):
    made = begin(studio, "a.pt", pickled=True)
    send(studio, made, b"anything")

    assert "Active" == finish(studio, made).status


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (asked(), "one of filenames and urls"),
        (asked("a.safetensors", urls=("https://a.example/b.safetensors",)), "one of filenames and urls"),
        (asked("a.safetensors", "a.safetensors"), "is there twice"),
        (asked("a.safetensors", type="Comfy"), "required for Comfy"),
        (asked("a.safetensors", source_path="models/../../x"), "plain paths"),
        (asked("a.safetensors", target_path="a\0b"), "plain paths"),
        (asked(urls=("http://a.example/b.safetensors",)), "https"),
        (asked(urls=("https://a.example/b.ckpt",)), "pickled"),
        (asked(urls=("https://a.example/..%2Fb.safetensors",)), "plain name"),
        (asked(urls=("https://a.example/b.safetensors", "https://b.example/b.safetensors")), "twice"),
    ],
)
def test_what_makes_no_checkpoint_is_refused(request_, why):
    with pytest.raises(Invalid, match=why):
        checkpoints.plan(request_, id="1", now=NOW, caller=caller(), pickled=False)


def test_who_makes_a_checkpoint_is_its_creator_whatever_the_body_says():
    request = asked("a.safetensors", params=Remarks(message="mine", creator="bob"))
    made = checkpoints.plan(request, id="1", now=NOW, caller=caller("ann"), pickled=False)

    assert ("ann", "mine", ("painter",)) == (made.creator, made.message, made.roles)


def test_a_name_is_taken_once_for_each_type(studio):
    begin(studio, "a.safetensors")

    with pytest.raises(Invalid, match=r"^a\.safetensors already exists, please use another or rename/delete"):
        begin(studio, "b.safetensors", "a.safetensors", id="2")

    assert "Initial" == begin(studio, "a.safetensors", id="3", type="VAE").status
    assert 2 == len(studio.store.uploads)


def test_of_two_who_want_a_name_at_once_one_has_it(studio):
    plan = planned("a.safetensors", id="2")
    studio.life.interrupt = lambda: begin(studio, "a.safetensors", id="1")

    with pytest.raises(Invalid, match="already exists"):
        checkpoints.upload(plan, now=NOW, world=studio.world)

    assert ["1"] == list(studio.checkpoints.kept)
    assert 1 == len(studio.store.uploads)


def test_names_of_an_upload_that_will_never_end_are_free(studio):
    begin(studio, "a.safetensors")
    with pytest.raises(Invalid, match="already exists"):
        begin(studio, "a.safetensors", id="2", now=SOON)

    begin(studio, "a.safetensors", id="3", now=LATER)

    assert ["3"] == list(studio.checkpoints.kept)
    assert 1 == len(studio.store.uploads)


def survive(studio, action):
    """Kill *action* before each of its writes in turn; return the number of writes it has."""
    for writes in range(100):
        studio.life.left = writes
        try:
            action()
        except Killed:
            continue
        finally:
            studio.life.left = None
        return writes
    raise AssertionError("never ends")


def test_a_creation_killed_anywhere_can_be_tried_again(studio):
    assert 3 == survive(studio, lambda: begin(studio, "a.safetensors", "b.safetensors"))
    assert ["1"] == list(studio.checkpoints.kept)


def test_a_completion_killed_anywhere_can_be_tried_again(studio):
    made = begin(studio, "a.safetensors", "b.safetensors")
    send(studio, made)

    survive(studio, lambda: finish(studio, made))

    assert "Active" == studio.checkpoints.get("1").status
    assert 2 == len(studio.store.objects)


def test_a_deletion_killed_anywhere_can_be_tried_again(studio):
    active(studio, "a.safetensors")

    survive(studio, lambda: checkpoints.delete(["1"], world=studio.world))

    assert ({}, {}, {}) == (studio.checkpoints.kept, studio.checkpoints.claims, studio.store.objects)


def test_names_of_a_deletion_that_was_killed_are_free(studio):
    active(studio, "a.safetensors")
    studio.life.left = 1
    with pytest.raises(Killed):
        checkpoints.delete(["1"], world=studio.world)
    studio.life.left = None

    assert "Deleting" == studio.checkpoints.get("1").status
    assert "Active" == active(studio, "a.safetensors", id="2").status
    assert ["checkpoints/Lora/2/a.safetensors"] == list(studio.store.objects)


def test_a_deletion_ends_uploads_and_is_fine_twice(studio):
    begin(studio, "a.safetensors")

    checkpoints.delete(["1", "1", "unknown"], world=studio.world)

    assert ({}, {}) == (studio.checkpoints.kept, studio.store.uploads)


def test_a_completion_that_meets_a_deletion_leaves_no_file(studio):
    made = begin(studio, "a.safetensors")
    send(studio, made)
    complete = studio.store.complete

    def completed_late(file, tags):
        complete(file, tags)
        studio.checkpoints.kept["1"] = replace(studio.checkpoints.kept["1"], status="Deleting", version="x")

    studio.store.complete = completed_late

    with pytest.raises(NotFound):
        finish(studio, made)

    assert {} == studio.store.objects


def test_a_rename_changes_the_name_and_not_the_file(studio):
    active(studio, "a.safetensors")

    renamed = checkpoints.rename("1", "b", caller=caller(), checkpoints=studio.checkpoints)

    assert ("b.safetensors",) == renamed.names
    assert ["checkpoints/Lora/1/a.safetensors"] == list(studio.store.objects)
    assert "Initial" == begin(studio, "a.safetensors", id="2").status
    with pytest.raises(Invalid, match=r"b\.safetensors already exists"):
        begin(studio, "b.safetensors", id="3")


def test_a_rename_to_the_same_name_is_fine_and_to_a_taken_one_is_not(studio):
    active(studio, "a.safetensors")
    active(studio, "b.safetensors", id="2")

    assert ("a.safetensors",) == checkpoints.rename(
        "1", "a", caller=caller(), checkpoints=studio.checkpoints
    ).names
    with pytest.raises(Invalid, match=r"b\.safetensors already exists"):
        checkpoints.rename("1", "b", caller=caller(), checkpoints=studio.checkpoints)


def test_only_an_active_checkpoint_of_one_file_is_renamed(studio):
    begin(studio, "a.safetensors")
    active(studio, "b.safetensors", "c.safetensors", id="2")

    with pytest.raises(Invalid, match="only active can update name"):
        checkpoints.rename("1", "x", caller=caller(), checkpoints=studio.checkpoints)
    with pytest.raises(Invalid, match="one file"):
        checkpoints.rename("2", "x", caller=caller(), checkpoints=studio.checkpoints)


def test_of_two_renames_to_one_name_one_wins(studio):
    active(studio, "a.safetensors")
    active(studio, "b.safetensors", id="2")
    studio.life.interrupt = lambda: checkpoints.rename(
        "2", "x", caller=caller(), checkpoints=studio.checkpoints
    )

    with pytest.raises(Invalid, match=r"x\.safetensors already exists"):
        checkpoints.rename("1", "x", caller=caller(), checkpoints=studio.checkpoints)

    assert ("a.safetensors",) == studio.checkpoints.get("1").names


def test_others_change_a_checkpoint_only_with_the_permission(studio):
    made = begin(studio, "a.safetensors")
    mate, stranger = caller("bob"), caller("eve", roles=("other",))

    with pytest.raises(Refused, match="User bob has no permissions"):
        finish(studio, made, by=mate)
    with pytest.raises(NotFound, match="checkpoint not found"):
        finish(studio, made, by=stranger)
    send(studio, made)

    assert "Active" == finish(studio, made, by=OPERATOR).status


def test_a_fetch_asks_for_each_source(studio):
    urls = ("https://a.example/a.safetensors?token=s", "https://a.example/download/7")
    plan = planned(urls=urls)

    made = checkpoints.fetch(plan, now=NOW, world=studio.world, jobs=studio.jobs)

    assert [("1", 0), ("1", 1)] == studio.jobs.asked
    assert ("a.safetensors",) == made.names
    with pytest.raises(Invalid, match="already exists"):
        begin(studio, "a.safetensors", id="2")
    with pytest.raises(Invalid, match="becomes Active by itself"):
        finish(studio, made)


def test_a_fetch_that_cannot_be_asked_for_leaves_nothing(studio):
    studio.jobs.most = 1
    plan = planned(urls=("https://a.example/a.safetensors", "https://a.example/b.safetensors"))

    with pytest.raises(Busy):
        checkpoints.fetch(plan, now=NOW, world=studio.world, jobs=studio.jobs)

    assert ({}, {}) == (studio.checkpoints.kept, studio.checkpoints.claims)


def test_a_list_has_what_the_caller_and_a_named_user_may_see(studio):
    accounts = FakeAccounts()
    with_role(accounts, "other", "checkpoint:list")
    with_user(accounts, "eve", "other")
    begin(studio, "a.safetensors")
    active(studio, "b.safetensors", id="2", type="VAE", now=SOON, by=caller("eve", roles=("other",)))

    def ids(by, **wanted):
        found = checkpoints.listed(
            Wanted(**wanted), caller=by, checkpoints=studio.checkpoints, accounts=accounts
        )
        return [each.id for each in found]

    assert ["2", "1"] == ids(OPERATOR)
    assert ["1"] == ids(caller())
    assert ["1"] == ids(caller("bob"))
    assert [] == ids(caller("carl", roles=()))
    assert ["2"] == ids(OPERATOR, types=("VAE",))
    assert ["1"] == ids(OPERATOR, statuses=("Initial", "Disabled"))
    assert ["2"] == ids(OPERATOR, roles=("other",))
    assert ["2"] == ids(OPERATOR, username="eve")
    assert [] == ids(caller(), username="eve")
    assert [] == ids(OPERATOR, username="nobody")


def test_a_digest_is_kept_with_its_file_whatever_comes_between(studio):
    active(studio, "a.safetensors")
    key = "checkpoints/Lora/1/a.safetensors"
    studio.life.interrupt = lambda: checkpoints.rename(
        "1", "b", caller=caller(), checkpoints=studio.checkpoints
    )

    digest = digests.keep(key, checkpoints=studio.checkpoints, contents=studio.store)

    file = studio.checkpoints.get("1").files[0]
    assert ("b.safetensors", digest) == (file.name, file.sha256)


@pytest.mark.parametrize(
    "key", ["checkpoints/Lora/1", "other/Lora/1/a", "checkpoints//1/a", "checkpoints/Lora/9/a"]
)
def test_a_digest_of_what_is_no_checkpoint_is_not_kept(studio, key):
    active(studio, "a.safetensors")

    assert digests.keep(key, checkpoints=studio.checkpoints, contents=studio.store) is None


def test_a_digest_of_a_file_that_is_gone_is_not_kept(studio):
    begin(studio, "a.safetensors")
    key = "checkpoints/Lora/1/a.safetensors"

    assert digests.keep(key, checkpoints=studio.checkpoints, contents=studio.store) is None
