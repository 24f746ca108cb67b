"""The push that starts a pipeline, from real repositories into real repositories."""

import json
from pathlib import Path
from types import SimpleNamespace

import git
import pytest
from click.testing import CliRunner
from client_fakes import FakeCodePipeline

from atelier.cli.main import cli
from atelier.client.errors import Problem, Refusal
from atelier.client.repositories import Source, head, push, source

TO = Source(repository="atelier", branch="main")


class FakeCodeCommit:
    """One bare repository on disk."""

    class exceptions:
        BranchDoesNotExistException = type("BranchDoesNotExistException", (Exception,), {})
        RepositoryDoesNotExistException = type("RepositoryDoesNotExistException", (Exception,), {})

    def __init__(self, path):
        self.path = path

    def get_branch(self, repositoryName, branchName):
        with git.Repo(self.path) as repository:
            if branchName not in repository.heads:
                raise self.exceptions.BranchDoesNotExistException
            return {"branch": {"commitId": repository.heads[branchName].commit.hexsha}}

    def get_repository(self, repositoryName):
        return {"repositoryMetadata": {"cloneUrlHttp": str(self.path)}}


@pytest.fixture
def work(tmp_path):
    with git.Repo.init(tmp_path / "work", initial_branch="feature") as repository:
        with repository.config_writer() as config:
            config.set_value("user", "name", "Tester").set_value("user", "email", "tester@example.invalid")
        commit(repository, "first")
        yield repository


@pytest.fixture
def clients(tmp_path):
    git.Repo.init(tmp_path / "bare.git", bare=True).close()
    return SimpleNamespace(codecommit=FakeCodeCommit(tmp_path / "bare.git"), is_local=True)


def commit(repository, text):
    (folder(repository) / "file.txt").write_text(text)
    repository.index.add(["file.txt"])
    return repository.index.commit(f"Write {text}").hexsha


def folder(repository):
    return Path(repository.working_dir)


def test_the_head_is_pushed_to_the_branch_that_the_pipeline_follows(work, clients):
    pushed = push(clients, folder(work), TO)

    assert (None, work.head.commit.hexsha) == (pushed.before, pushed.after)
    assert work.head.commit.hexsha == clients.codecommit.get_branch("atelier", "main")["branch"]["commitId"]


def test_a_head_that_was_pushed_before_is_no_news(work, clients):
    push(clients, folder(work), TO)

    assert not push(clients, folder(work), TO).is_news


def test_a_rewritten_history_replaces_the_old_one_in_the_local_cloud(work, clients):
    push(clients, folder(work), TO)
    work.git.commit("--amend", "-m", "Write it better")

    push(clients, folder(work), TO)

    assert work.head.commit.hexsha == clients.codecommit.get_branch("atelier", "main")["branch"]["commitId"]


def test_a_rewritten_history_is_refused_elsewhere(work, clients):
    push(clients, folder(work), TO)
    work.git.commit("--amend", "-m", "Write it better")
    clients.is_local = False

    with pytest.raises(Refusal, match=r"was refused: .*rejected"):
        push(clients, folder(work), TO)


def test_a_hook_that_refuses_is_heard(work, clients):
    hook = clients.codecommit.path / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'the local cloud is down: run atelier up'\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(Refusal, match="the local cloud is down: run atelier up"):
        push(clients, folder(work), TO)


def test_what_is_not_committed_is_named(work):
    (folder(work) / "file.txt").write_text("changed")
    (folder(work) / "new file.txt").write_text("new")

    assert ("file.txt", "new file.txt") == head(folder(work)).uncommitted


def test_a_folder_inside_a_repository_stands_for_it(work):
    (folder(work) / "inside").mkdir()

    assert work.head.commit.hexsha == head(folder(work) / "inside").commit


def test_a_shallow_clone_is_told_to_fetch_the_rest(work, tmp_path):
    commit(work, "second")
    git.Repo.clone_from(f"file://{folder(work)}", tmp_path / "shallow", depth=1).close()

    with pytest.raises(Problem, match="git fetch --unshallow"):
        head(tmp_path / "shallow")


def test_a_folder_that_is_no_repository_is_a_problem(tmp_path):
    with pytest.raises(Problem, match="is not a git repository"):
        head(tmp_path)


def test_a_repository_without_a_commit_is_a_problem(tmp_path):
    git.Repo.init(tmp_path / "fresh").close()

    with pytest.raises(Problem, match="has no commit yet"):
        head(tmp_path / "fresh")


def test_the_source_of_a_pipeline_is_read_from_its_first_stage():
    clients = SimpleNamespace(codepipeline=FakeCodePipeline())

    assert TO == source(clients, "atelier-training")


def pushed(work, clients, monkeypatch, *words):
    monkeypatch.chdir(folder(work))
    everywhere = SimpleNamespace(
        codepipeline=FakeCodePipeline(), codecommit=clients.codecommit, where="here", is_local=True
    )
    return CliRunner().invoke(cli, ["pipeline", "push", *words], obj=everywhere)


def test_the_command_pushes_what_is_checked_out_and_says_so(work, clients, monkeypatch):
    (folder(work) / "more.txt").write_text("not committed")

    first = pushed(work, clients, monkeypatch, "atelier-training")
    again = pushed(work, clients, monkeypatch, "--json")

    assert f"Pushed {work.head.commit.hexsha[:8]} “Write first” to branch main of atelier." in first.output
    assert "not committed, and so not pushed: 1." in first.output
    assert work.head.commit.hexsha == json.loads(again.output)["after"]
    assert json.loads(again.output)["before"] == json.loads(again.output)["after"]


def test_the_command_refuses_a_pipeline_that_is_not_there_in_one_line(work, clients, monkeypatch):
    result = pushed(work, clients, monkeypatch, "absent")

    assert 1 == result.exit_code
    assert "there is no pipeline absent" in result.output
    assert "Traceback" not in result.output
