"""Our own source, in CodeCommit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.contract.webui import DECLARATION, Push
from atelier.lambdas.adapters import faults
from atelier.lambdas.errors import Invalid, NotFound

if TYPE_CHECKING:
    from mypy_boto3_codecommit import CodeCommitClient

SERVICE = "CodeCommit"
NOT_YET = frozenset(
    {
        "BranchDoesNotExistException",
        "CommitDoesNotExistException",
        "CommitIdDoesNotExistException",
        "FileDoesNotExistException",
        "PathDoesNotExistException",
    }
)


class CodeCommitDeclarations:
    """What is followed, as a branch of a repository says it."""

    def __init__(self, client: CodeCommitClient, repository: str, branch: str) -> None:
        self._client = client
        self._repository = repository
        self._branch = branch

    def text(self) -> str | None:
        """Return the declaration, if there is any source yet."""
        try:
            with faults.patience(SERVICE):
                found = self._client.get_file(
                    repositoryName=self._repository, commitSpecifier=self._branch, filePath=DECLARATION
                )
            return found["fileContent"].decode()
        except ClientError as error:
            if faults.code(error) in NOT_YET:
                return None
            raise
        except UnicodeDecodeError as error:
            raise Invalid(f"{DECLARATION} is no text in UTF-8") from error


class CodeCommitDifferences:
    """What changes from one commit to another."""

    def __init__(self, client: CodeCommitClient) -> None:
        self._client = client

    def paths(self, push: Push) -> Iterator[str]:
        """Return every path that a push touches; raise NotFound when its old commit is gone."""
        pages = self._client.get_paginator("get_differences").paginate(
            repositoryName=push.repository, beforeCommitSpecifier=push.old, afterCommitSpecifier=push.new
        )
        try:
            with faults.patience(SERVICE):
                for page in pages:
                    for each in page["differences"]:
                        for side in (each.get("beforeBlob"), each.get("afterBlob")):
                            if side and "path" in side:
                                yield side["path"]
        except ClientError as error:
            if faults.code(error) in NOT_YET:
                raise NotFound(f"{push.old} is not in {push.repository} any more") from error
            raise
