"""The repository that a pipeline follows, and the push that starts it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from atelier.client.errors import NotDeployed, NotFound, Problem, Refusal

if TYPE_CHECKING:
    import git

    from atelier.client.session import Clients


@dataclass(frozen=True, kw_only=True)
class Head:
    """What is checked out: the commit that would be pushed, and what would stay behind."""

    root: Path
    commit: str
    subject: str
    uncommitted: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a pipeline takes its source from."""

    repository: str
    branch: str


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push did to the branch; *before* is None for a new branch."""

    before: str | None
    after: str

    @property
    def is_news(self) -> bool:
        """Whether the branch moved."""
        return self.before != self.after


def head(folder: Path) -> Head:
    """Return the commit that is checked out in *folder*; raise Problem when it cannot be pushed."""
    with _opened(folder) as repository:
        try:
            commit = repository.head.commit
        except ValueError as error:
            raise Problem(f"{repository.working_dir} has no commit yet: commit something first") from error
        if repository.git.rev_parse("--is-shallow-repository") == "true":
            raise Problem(
                f"{repository.working_dir} is a shallow clone, which git cannot push: "
                "run `git fetch --unshallow` first"
            )
        return Head(
            root=Path(repository.working_dir),
            commit=commit.hexsha,
            subject=str(commit.summary),
            uncommitted=tuple(_uncommitted(repository)),
        )


def source(clients: Clients, pipeline: str) -> Source:
    """Return the repository and the branch that *pipeline* follows."""
    stages = clients.codepipeline.get_pipeline(name=pipeline)["pipeline"]["stages"]
    for action in stages[0]["actions"]:
        if action["actionTypeId"]["provider"] == "CodeCommit":
            settings = action.get("configuration", {})
            return Source(repository=settings["RepositoryName"], branch=settings["BranchName"])
    raise NotFound(f"pipeline {pipeline} does not follow a CodeCommit repository")


def push(clients: Clients, folder: Path, to: Source) -> Pushed:
    """Push the commit that is checked out in *folder*.

    The local repository only mirrors this one, so a rewritten history replaces the old one there (unless
    someone else pushed in between); a real repository refuses that, as git does.
    """
    commit = head(folder).commit
    before = _tip(clients, to)
    if before == commit:
        return Pushed(before=before, after=commit)
    lease = [f"--force-with-lease=refs/heads/{to.branch}:{before or ''}"] if clients.is_local else []
    with _opened(folder) as repository:
        _push(repository, [*lease, _address(clients, to), f"{commit}:refs/heads/{to.branch}"])
    return Pushed(before=before, after=commit)


def _push(repository: git.Repo, arguments: list[str]) -> None:
    from git.exc import GitCommandError

    # AWS's own helper signs a push over HTTPS with the caller's credentials; a local path asks for none
    helper = [
        "-c",
        "credential.helper=!aws codecommit credential-helper $@",
        "-c",
        "credential.UseHttpPath=true",
    ]
    try:
        repository.git.execute(["git", *helper, "push", "--quiet", *arguments])
    except GitCommandError as error:
        said = [line.removeprefix("remote:").strip() for line in str(error.stderr).strip("\n' ").splitlines()]
        why = " ".join(filter(None, said)).removeprefix("stderr: '")
        raise Refusal(f"git push of {repository.working_dir} was refused: {why}") from error


def _tip(clients: Clients, to: Source) -> str | None:
    codecommit = clients.codecommit
    try:
        found = codecommit.get_branch(repositoryName=to.repository, branchName=to.branch)
    except codecommit.exceptions.BranchDoesNotExistException:
        return None
    except codecommit.exceptions.RepositoryDoesNotExistException as error:
        raise NotDeployed(f"there is no repository {to.repository}: run `atelier deploy` first") from error
    return found["branch"]["commitId"]


def _address(clients: Clients, to: Source) -> str:
    found = clients.codecommit.get_repository(repositoryName=to.repository)
    return found["repositoryMetadata"]["cloneUrlHttp"]


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[git.Repo]:
    try:
        import git
    except ImportError as error:
        raise Problem("git is not installed: install it, for it carries the push") from error
    try:
        repository = git.Repo(folder, search_parent_directories=True)
    except (git.exc.InvalidGitRepositoryError, git.exc.NoSuchPathError) as error:
        raise Problem(
            f"{folder.absolute()} is not a git repository, and a pipeline starts from a push: "
            "clone the project with git, or run `git init` and commit"
        ) from error
    try:
        yield repository
    finally:
        repository.close()


def _uncommitted(repository: git.Repo) -> Iterator[str]:
    listed = repository.git.status("--porcelain", "--untracked-files=normal", "-z")
    entries = iter(str(listed).split("\0"))
    for entry in entries:
        if entry:
            yield entry[3:]
        if entry[:1] in {"R", "C"}:  # of a rename git lists the old name too
            next(entries, None)
