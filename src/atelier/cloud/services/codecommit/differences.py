"""GetDifferences: what changes from one commit to another, path by path."""

from __future__ import annotations

from collections.abc import Iterator

from git import Repo

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.codecommit.service import SERVICE, commit_of, opened, repository_arn
from atelier.cloud.services.wire import Document, ServiceError

MISSING = "CommitDoesNotExistException"
NOTHING = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git's name for the tree without files."""
LONGEST_PAGE = 400


@SERVICE.operation("GetDifferences", on=repository_arn)
def get_differences(cloud: Cloud, request: Document) -> Document:
    """List what is added, modified and deleted, in the order of the paths."""
    for name in ("beforePath", "afterPath"):
        if name in request:
            raise Refused(f"{name} of GetDifferences is not part of the local cloud: leave it out")
    with opened(cloud, request) as repository:
        after = commit_of(repository, request["afterCommitSpecifier"], MISSING).hexsha
        before = NOTHING
        if "beforeCommitSpecifier" in request:
            before = commit_of(repository, request["beforeCommitSpecifier"], MISSING).hexsha
        start, end = _page(request)
        found = list(_differences(repository, before, after))
    return {"differences": found[start:end], "NextToken": str(end) if end < len(found) else None}


def _page(request: Document) -> tuple[int, int]:
    token, most = request.get("NextToken", "0"), request.get("MaxResults", LONGEST_PAGE)
    if not token.isdecimal():
        raise ServiceError("InvalidContinuationTokenException", f"{token} is no token of this list")
    if most < 1:
        raise ServiceError("InvalidMaxResultsException", f"MaxResults must be at least 1, not {most}")
    return int(token), int(token) + min(most, LONGEST_PAGE)


def _differences(repository: Repo, before: str, after: str) -> Iterator[Document]:
    """Read git's raw format, ``:mode mode blob blob kind`` and the path; a rename is two differences."""
    raw = repository.git.diff_tree(
        "-r", "-z", "--raw", "--no-renames", "--no-abbrev", before, after, strip_newline_in_stdout=False
    )
    words = iter(raw.split("\0"))
    for facts in words:
        if not facts.startswith(":"):
            return
        old_mode, new_mode, old, new, kind = facts[1:].split(" ")
        path = next(words)
        yield {
            "beforeBlob": _blob(old, old_mode, path) if kind != "A" else None,
            "afterBlob": _blob(new, new_mode, path) if kind != "D" else None,
            "changeType": kind if kind in {"A", "D"} else "M",
        }


def _blob(blob: str, mode: str, path: str) -> Document:
    return {"blobId": blob, "path": path, "mode": mode}
