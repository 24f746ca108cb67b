"""Git repositories: one commit of each, as a folder without its history.

All goes through GitPython, which runs `git`. It never asks for a password, and gives up a server that has
stopped to send.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import git
from declaration import COMMIT, Refused, Source, problem

ENVIRONMENT: Mapping[str, str] = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "60",
}
FOLLOWED = "refs/followed"
ABSENT = ("couldn't find remote ref", "could not find remote")


def follow(source: Source, address: str, wanted: str | None, folder: Path) -> str:
    """Check out *wanted* of what is followed, or its head; refuse a commit that it does not contain."""
    repository = _made(address, folder)
    # A copy of a repository may itself begin in the middle of the history: that is not refused.
    _fetch(repository, address, source.reference, "--update-shallow", f"+{source.reference}:{FOLLOWED}")
    head = repository.git.rev_parse(f"{FOLLOWED}^{{commit}}")
    commit = source.pin or wanted or head
    if not _contains(repository, head, commit):
        name = source.reference.removeprefix("refs/").replace("heads/", "branch ").replace("tags/", "tag ")
        raise Refused(
            f"{address}: commit {commit} is not in {name} (now {head[:12]}): was its history rewritten?"
            " Build another commit of it, or pin one in upstream.toml"
        )
    return _settle(repository, address, commit, folder)


def take(address: str, commit: str | None, reference: str, folder: Path) -> str:
    """Check out one commit of a repository, or the head of a reference."""
    repository = _made(address, folder)
    if commit is None:
        _fetch(repository, address, reference, "--depth=1", f"+{reference}:{FOLLOWED}")
        commit = repository.git.rev_parse(f"{FOLLOWED}^{{commit}}")
    else:
        _fetch_commit(repository, address, commit)
    return _settle(repository, address, commit, folder)


def _made(address: str, folder: Path) -> git.Repo:
    if wrong := problem(address):
        raise Refused(f"{address} must be {wrong}")
    repository = git.Repo.init(folder, mkdir=True)
    repository.git.update_environment(**ENVIRONMENT)
    return repository


def _fetch(repository: git.Repo, address: str, what: str, *words: str) -> None:
    *options, refspec = words
    try:
        repository.git.fetch("--quiet", "--no-tags", *options, "--", address, refspec)
    except git.GitCommandError as error:
        said = str(error.stderr).strip().removeprefix("stderr: '").rstrip("'").strip()
        if any(each in said for each in ABSENT):
            raise Refused(f"{address} has no {what}: was it renamed or deleted?") from error
        raise Refused(
            f"{address} cannot be fetched: {said.splitlines()[0] if said else error.status}"
        ) from error


def _fetch_commit(repository: git.Repo, address: str, commit: str) -> None:
    """Fetch one commit alone; a server that does not give that gives all of its branches and tags."""
    if not COMMIT.fullmatch(commit):
        raise Refused(f"{address}: {commit} is not a commit of 40 hexadecimal digits")
    try:
        return _fetch(repository, address, commit, "--depth=1", commit)
    except Refused:
        _fetch(repository, address, "branch", "+refs/*:refs/followed/*")
    if not _has(repository, commit):
        raise Refused(f"{address} has no commit {commit}: pin another one in upstream.toml")
    return None


def _has(repository: git.Repo, commit: str) -> bool:
    try:
        repository.git.cat_file("-e", f"{commit}^{{commit}}")
    except git.GitCommandError:
        return False
    return True


def _contains(repository: git.Repo, head: str, commit: str) -> bool:
    return _has(repository, commit) and repository.is_ancestor(
        repository.commit(commit), repository.commit(head)
    )


def _settle(repository: git.Repo, address: str, commit: str, folder: Path) -> str:
    """Leave the commit's files alone in the folder."""
    repository.git.checkout("--quiet", "--detach", commit)
    repository.close()
    if (folder / ".gitmodules").exists():
        raise Refused(
            f"{address} at {commit[:12]} has submodules, which are not checked out:"
            " name what it needs of them in upstream.toml"
        )
    shutil.rmtree(folder / ".git")
    return commit
