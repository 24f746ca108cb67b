"""CodeCommit's GetDifferences: what a push touches, page by page."""

import subprocess

import pytest
from fakes import fake_cloud

from atelier.cloud.context import Refused
from atelier.cloud.services.codecommit.plugin import PLUGIN
from atelier.cloud.services.wire import ServiceError

SERVICE = PLUGIN.service


@pytest.fixture
def cloud(tmp_path):
    cloud = fake_cloud(tmp_path)
    yield cloud
    cloud.store.close()


class Work:
    """A bare repository of the cloud, and commits that are made of files."""

    def __init__(self, cloud, folder):
        made = SERVICE.call(cloud, "CreateRepository", {"repositoryName": "app"})
        self.place, self.folder = made["repositoryMetadata"]["cloneUrlHttp"], folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments):
        named = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        command = ["git", *named, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, files):
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True) if content is None else path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "-q", "-m", "more")
        # fetched, because a push would want the running service
        self.git("--git-dir", self.place, "fetch", "-q", str(self.folder), "+main:main")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def work(cloud, tmp_path):
    return Work(cloud, tmp_path / "work")


def differences(cloud, **more):
    return SERVICE.call(cloud, "GetDifferences", {"repositoryName": "app", **more})


def seen(document):
    return [
        (each["changeType"], each.get("beforeBlob", {}).get("path"), each.get("afterBlob", {}).get("path"))
        for each in document["differences"]
    ]


def test_what_is_added_modified_and_deleted_has_its_paths(cloud, work):
    first = work.commit({"kept": "1", "changed": "1", "extension/gone.py": "some text that moves"})
    second = work.commit(
        {"changed": "2", "extension/gone.py": None, "extension/ä new one.py": "some text that moves"}
    )

    found = differences(cloud, beforeCommitSpecifier=first, afterCommitSpecifier=second)

    assert [
        ("M", "changed", "changed"),
        ("D", "extension/gone.py", None),
        ("A", None, "extension/ä new one.py"),
    ] == seen(found)
    assert "100644" == found["differences"][0]["afterBlob"]["mode"]


def test_without_a_commit_before_every_file_is_added(cloud, work):
    only = work.commit({"a": "1", "b/c": "2"})

    assert [("A", None, "a"), ("A", None, "b/c")] == seen(differences(cloud, afterCommitSpecifier=only))


def test_a_commit_and_itself_differ_in_nothing(cloud, work):
    only = work.commit({"a": "1"})

    assert [] == seen(differences(cloud, beforeCommitSpecifier=only, afterCommitSpecifier="main"))


def test_many_differences_come_in_pages(cloud, work):
    only = work.commit({f"{number:03}": "x" for number in range(7)})
    pages, token = [], {}
    for _ in range(4):
        page = differences(cloud, afterCommitSpecifier=only, MaxResults=3, **token)
        pages.append([path for _, _, path in seen(page)])
        token = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
        if not token:
            break

    assert [["000", "001", "002"], ["003", "004", "005"], ["006"]] == pages


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"afterCommitSpecifier": "f" * 40}, "CommitDoesNotExistException"),
        ({"beforeCommitSpecifier": "f" * 40, "afterCommitSpecifier": "main"}, "CommitDoesNotExistException"),
        ({"afterCommitSpecifier": "main", "NextToken": "x"}, "InvalidContinuationTokenException"),
        ({"afterCommitSpecifier": "main", "MaxResults": 0}, "InvalidMaxResultsException"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_its_aws_name(cloud, work, more, code):
    work.commit({"a": "1"})

    with pytest.raises(ServiceError) as refused:
        differences(cloud, **more)

    assert code == refused.value.code


def test_a_path_to_look_at_alone_is_refused_by_name(cloud, work):
    work.commit({"a": "1"})

    with pytest.raises(Refused, match="afterPath of GetDifferences"):
        differences(cloud, afterCommitSpecifier="main", afterPath="a")
