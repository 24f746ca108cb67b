"""CodeCommit: repositories that a plain git push reaches, and the events that follow."""

import base64
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes import fake_cloud

from atelier.cloud.context import Refused
from atelier.cloud.services.codecommit import repositories, service
from atelier.cloud.services.codecommit.notices import NOTHING, Move, Watch, differences
from atelier.cloud.services.resources import Request
from atelier.cloud.services.wire import ServiceError

SERVICE, REPOSITORY = service.SERVICE, service.REPOSITORY


@pytest.fixture
def cloud(tmp_path):
    cloud = fake_cloud(tmp_path / "a home with $HOME")
    yield cloud
    cloud.store.close()


@pytest.fixture
def url(cloud):
    made = SERVICE.call(cloud, "CreateRepository", {"repositoryName": "app"})
    return made["repositoryMetadata"]["cloneUrlHttp"]


@pytest.fixture
def serving(cloud, url):
    """The repository's path while the service runs."""
    watch = Watch(cloud, every=0.01)
    watch.start()
    yield url
    watch.stop()


@pytest.fixture
def work(tmp_path):
    """A work tree with one commit on `main`, and git as a user without any configuration has it."""
    return Work(tmp_path / "work")


class Work:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        (folder / "home").mkdir()
        self.git("init", "-q", "-b", "main")
        self.commit("first")

    def git(self, *arguments, fails=False, **environment):
        done = subprocess.run(
            ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert fails == (done.returncode != 0), done.stderr
        return done.stderr if fails else done.stdout.strip()

    def commit(self, text):
        (self.folder / "file.txt").write_text(text)
        self.git("add", "file.txt")
        self.git("commit", "-q", "-m", text)
        return self.head

    @property
    def head(self):
        return self.git("rev-parse", "HEAD")


def until(events, count):
    deadline = time.monotonic() + 60
    while len(events.published) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # an event too many would come now
    return [each["detail"] for each in events.published]


def test_a_push_becomes_an_event_with_aws_fields(cloud, serving, work):
    work.git("push", "-q", serving, "main")

    [detail] = until(cloud.events, 1)

    metadata = SERVICE.call(cloud, "GetRepository", {"repositoryName": "app"})["repositoryMetadata"]
    expected = {
        "event": "referenceCreated",
        "repositoryName": "app",
        "repositoryId": metadata["repositoryId"],
        "referenceType": "branch",
        "referenceName": "main",
        "referenceFullName": "refs/heads/main",
        "commitId": work.head,
        "callerUserArn": "arn:aws:iam::000000000000:root",
    }
    assert expected == detail
    event = cloud.events.published[0]
    assert "aws.codecommit" == event["source"]
    assert "CodeCommit Repository State Change" == event["detail-type"]
    assert [metadata["Arn"]] == event["resources"]


def test_a_forced_push_a_tag_and_a_deletion_are_events_too(cloud, serving, work):
    first = work.head
    work.git("push", "-q", serving, "main", "main:feature/x")
    until(cloud.events, 2)
    work.git("commit", "-q", "--amend", "-m", "rewritten")
    work.git("tag", "-a", "v1", "-m", "one")
    work.git("push", "-q", "--force", serving, "main")
    work.git("push", "-q", serving, "v1", ":feature/x")

    moves = until(cloud.events, 5)[2:]

    seen = {
        (
            each["event"],
            each["referenceType"],
            each["referenceName"],
            each.get("commitId"),
            each.get("oldCommitId"),
        )
        for each in moves
    }
    expected = {
        ("referenceUpdated", "branch", "main", work.head, first),
        ("referenceCreated", "tag", "v1", work.head, None),
        ("referenceDeleted", "branch", "feature/x", None, first),
    }
    assert expected == seen


def test_a_push_while_the_cloud_is_down_is_refused_with_a_clear_text(cloud, url, work):
    said = work.git("push", url, "main", fails=True)

    assert "The local cloud is not running, so nothing was pushed." in said
    assert "atelier up" in said
    assert [] == SERVICE.call(cloud, "ListBranches", {"repositoryName": "app"})["branches"]


def test_a_pid_that_belongs_to_another_process_now_does_not_count_as_running(cloud, url, work):
    repositories.serving(cloud).write_text(f"{os.getpid()} 1\n")

    assert "not running" in work.git("push", url, "main", fails=True)


def test_a_push_is_refused_again_once_the_cloud_stopped(cloud, url, work):
    watch = Watch(cloud)
    watch.start()
    watch.stop()

    assert "not running" in work.git("push", url, "main", fails=True)


def test_a_push_that_nobody_saw_is_published_once_at_the_next_start(cloud, url, work):
    repositories.serving(cloud).write_text(f"{os.getpid()} {_started()}\n")
    work.git("push", "-q", url, "main")  # accepted, and then the process died
    for _ in range(2):
        watch = Watch(cloud, every=0.01)
        watch.start()
        watch.stop()

    assert ["referenceCreated"] == [each["detail"]["event"] for each in cloud.events.published]


def test_a_push_whose_hook_was_killed_is_found_at_the_next_start(cloud, url, work):
    repositories.serving(cloud).write_text(f"{os.getpid()} {_started()}\n")
    work.git("push", "-q", url, "main")
    for notice in repositories.notices(cloud, "app").iterdir():
        notice.unlink()
    for _ in range(2):
        watch = Watch(cloud, every=0.01)
        watch.start()
        watch.stop()

    assert [work.head] == [each["detail"]["commitId"] for each in cloud.events.published]


def test_a_restart_between_two_pushes_publishes_each_once(cloud, url, work):
    for text in ("second", "third"):
        watch = Watch(cloud, every=0.01)
        watch.start()
        work.commit(text)
        work.git("push", "-q", url, "main")
        watch.stop()

    assert ["referenceCreated", "referenceUpdated"] == [each["event"] for each in until(cloud.events, 2)]


def test_a_failing_bus_delays_an_event_and_loses_none(cloud, serving, work):
    publish, failures = cloud.events.publish, [RuntimeError("bus is down")] * 3

    def flaky(*arguments):
        if failures:
            raise failures.pop()
        publish(*arguments)

    cloud.events.publish = flaky
    work.git("push", "-q", serving, "main")

    assert [work.head] == [each["commitId"] for each in until(cloud.events, 1)]


def test_pushes_at_the_same_time_all_become_events(cloud, serving, work):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: work.git("push", "-q", serving, f"main:b{each}"), range(8)))

    assert {f"b{each}" for each in range(8)} == {each["referenceName"] for each in until(cloud.events, 8)}


def test_a_long_history_arrives_whole(cloud, serving, work):
    stream = "".join(
        f"commit refs/heads/long\ncommitter Ada <ada@example.com> {each} +0000\ndata 1\nx\n"
        f"M 100644 inline f{each % 50}\ndata {len(str(each) * 200)}\n{str(each) * 200}\n"
        for each in range(1, 3001)
    )
    subprocess.run(["git", "fast-import", "--quiet"], input=stream, text=True, cwd=work.folder, check=True)
    work.git("push", "-q", serving, "long")

    until(cloud.events, 1)
    found = SERVICE.call(cloud, "GetBranch", {"repositoryName": "app", "branchName": "long"})
    assert work.git("rev-parse", "long") == found["branch"]["commitId"]


def test_the_pushers_own_hooks_path_does_not_hide_a_push(cloud, serving, work):
    (work.folder / "home" / ".gitconfig").write_text("[core]\n\thooksPath = /nonexistent\n")
    work.git("-c", "core.hooksPath=/nonexistent", "push", "-q", serving, "main")

    assert [work.head] == [each["commitId"] for each in until(cloud.events, 1)]


def test_a_repository_belongs_to_its_owner_only(cloud, serving, work):
    old = os.umask(0o022)
    try:
        work.git("push", "-q", serving, "main")
    finally:
        os.umask(old)
    until(cloud.events, 1)

    folder = repositories.folder(cloud)
    assert [] == [each for each in (folder, *folder.rglob("*")) if each.stat().st_mode & 0o077]


def test_a_repository_can_be_read_through_the_api(cloud, serving, work):
    (work.folder / "run.sh").write_text("#!/bin/sh\n")
    (work.folder / "run.sh").chmod(0o755)
    work.git("add", "run.sh")
    work.git("commit", "-q", "-m", "Add a script")
    work.git("push", "-q", serving, "main:trunk")
    until(cloud.events, 1)
    app = {"repositoryName": "app"}

    described = SERVICE.call(cloud, "GetRepository", app)["repositoryMetadata"]
    commit = SERVICE.call(cloud, "GetCommit", app | {"commitId": work.head})["commit"]
    file = SERVICE.call(cloud, "GetFile", app | {"filePath": "run.sh"})

    assert "trunk" == described["defaultBranch"]
    assert ["trunk"] == SERVICE.call(cloud, "ListBranches", app)["branches"]
    assert ("Add a script\n", "Ada", 1) == (
        commit["message"],
        commit["author"]["name"],
        len(commit["parents"]),
    )
    assert (b"#!/bin/sh\n", "EXECUTABLE") == (base64.b64decode(file["fileContent"]), file["fileMode"])


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("GetRepository", {"repositoryName": "none"}, "RepositoryDoesNotExistException"),
        ("CreateRepository", {"repositoryName": "app"}, "RepositoryNameExistsException"),
        ("CreateRepository", {"repositoryName": ".."}, "InvalidRepositoryNameException"),
        ("CreateRepository", {"repositoryName": "a.git"}, "InvalidRepositoryNameException"),
        ("GetBranch", {"repositoryName": "app", "branchName": "none"}, "BranchDoesNotExistException"),
        ("GetCommit", {"repositoryName": "app", "commitId": "0" * 40}, "CommitIdDoesNotExistException"),
        ("GetCommit", {"repositoryName": "app", "commitId": "--help"}, "CommitIdDoesNotExistException"),
        ("GetFile", {"repositoryName": "app", "filePath": "x"}, "CommitDoesNotExistException"),
        ("PutFile", {}, "UnsupportedOperation"),
    ],
)
def test_what_is_not_there_is_refused_by_its_aws_name(cloud, url, operation, request_, code):
    with pytest.raises(ServiceError) as refused:
        SERVICE.call(cloud, operation, request_)

    assert code == refused.value.code


def test_a_customer_key_is_refused_by_name(cloud):
    with pytest.raises(Refused, match="kmsKeyId"):
        SERVICE.call(cloud, "CreateRepository", {"repositoryName": "x", "kmsKeyId": "alias/k"})


def test_a_deleted_repository_leaves_nothing_behind(cloud, url):
    SERVICE.call(cloud, "DeleteRepository", {"repositoryName": "app"})

    assert {} == SERVICE.call(cloud, "DeleteRepository", {"repositoryName": "app"})
    assert [] == list(repositories.folder(cloud).iterdir())


def wanted(**properties):
    return Request(stack="s", logical_id="Code", name="s-code", properties=properties)


def test_a_stack_makes_changes_and_deletes_a_repository(cloud):
    made = REPOSITORY.create(cloud, wanted(RepositoryName="code", Tags=[{"Key": "a", "Value": "b"}]))
    same = REPOSITORY.update(cloud, made.ref, wanted(RepositoryName="code", RepositoryDescription="New"))
    found = SERVICE.call(cloud, "GetRepository", {"repositoryName": "code"})["repositoryMetadata"]

    assert made == same
    assert (made.ref, "New") == (found["repositoryId"], found["repositoryDescription"])
    assert found["cloneUrlHttp"] == made.attributes["CloneUrlHttp"]
    REPOSITORY.delete(cloud, made.ref, {})
    assert [] == SERVICE.call(cloud, "ListRepositories", {})["repositories"]


def test_a_property_that_the_type_does_not_read_is_refused(cloud):
    with pytest.raises(Refused, match=r"AWS::CodeCommit::Repository\.Code"):
        REPOSITORY.create(cloud, wanted(RepositoryName="code", Code={"S3": {}}))


def test_differences_lead_from_one_state_to_the_next():
    before, after = {"refs/heads/a": "1", "refs/heads/b": "2"}, {"refs/heads/b": "3", "refs/tags/c": "4"}

    moved = differences(before, after)

    expected = [
        Move("refs/heads/a", "1", NOTHING),
        Move("refs/heads/b", "2", "3"),
        Move("refs/tags/c", NOTHING, "4"),
    ]
    assert expected == moved
    assert ["referenceDeleted", "referenceUpdated", "referenceCreated"] == [each.event for each in moved]


def _started():
    with open("/proc/self/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[19]
