"""Source from CodeCommit: a branch's commit as a zip in the artifact bucket."""

from __future__ import annotations

import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import IO, Any

from atelier.cloud.context import Caller
from atelier.cloud.services.codecommit import repositories
from atelier.cloud.services.codepipeline.job import ActionFailed, Job, Outcome, with_revision

PERMISSION = "codecommit:UploadArchive"


def perform(job: Job) -> Outcome:
    """Fetch the commit that the branch names when the action first looks, or that the start asked for."""
    repository, branch = job.configuration["RepositoryName"], job.configuration["BranchName"]
    commit_id = job.memory.get("commit") or _commit_id(job, repository, branch)
    job.remember(commit=commit_id)
    commit = job.client("codecommit").get_commit(repositoryName=repository, commitId=commit_id)["commit"]
    (output,) = job.outputs()
    with tempfile.TemporaryFile() as file:
        _archive(job, repository, commit_id, file)
        with tempfile.TemporaryFile() as sent:
            _without_links(file, sent)
            job.client("s3").upload_fileobj(sent, output.bucket, output.key)
    message = commit.get("message", "").strip() or commit_id
    job.note(external_id=commit_id)
    return Outcome(
        variables=_variables(repository, branch, commit_id, commit),
        outputs=(with_revision(output, commit_id),),
        summary=message[:2048],
        revision={"id": commit_id, "summary": message[:2048], "created": _date(commit["committer"])},
    )


def _commit_id(job: Job, repository: str, branch: str) -> str:
    if asked := job.run.revisions.get(job.declared["name"]):
        return asked
    found = job.client("codecommit").get_branch(repositoryName=repository, branchName=branch)
    return str(found["branch"]["commitId"])


def _archive(job: Job, repository: str, commit_id: str, file: IO[bytes]) -> None:
    """Write the commit's files; AWS has no public operation for this step, only its permission."""
    role = Caller(job.role, job.role)
    arn = job.cloud.arn("codecommit", repository)
    if not job.cloud.identity.allows(role, PERMISSION, arn):
        message = f"The role {job.role} is not authorized to perform: {PERMISSION} on resource: {arn}"
        raise ActionFailed(message, code="PermissionError")
    command = ["git", "archive", "--format=zip", commit_id]
    done = subprocess.run(
        command,
        cwd=repositories.path(job.cloud, repository),
        stdout=file,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise ActionFailed(f"git archive: {done.stderr.decode(errors='replace').strip()}")
    file.seek(0)


def _without_links(file: IO[bytes], to: IO[bytes]) -> None:
    """Write a zip again with its symbolic links as text files, which is what AWS hands on of them."""
    with zipfile.ZipFile(file) as read, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as written:
        for entry in read.infolist():
            if stat.S_ISLNK(mode := entry.external_attr >> 16):
                entry.external_attr = (stat.S_IFREG | stat.S_IMODE(mode) | 0o644) << 16
            written.writestr(entry, read.read(entry))
    to.seek(0)


def _variables(repository: str, branch: str, commit_id: str, commit: Mapping[str, Any]) -> dict[str, str]:
    return {
        "AuthorDate": _date(commit["author"]),
        "BranchName": branch,
        "CommitId": commit_id,
        "CommitMessage": commit.get("message", "").strip(),
        "CommitterDate": _date(commit["committer"]),
        "RepositoryName": repository,
    }


def _date(person: Mapping[str, str]) -> str:
    """Return ``1767225600 +0100`` as variables have it: ``2026-01-01T00:00:00Z``."""
    seconds, _, zone = person["date"].partition(" ")
    sign, hours, minutes = zone[:1], zone[1:3] or "0", zone[3:5] or "0"
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    moment = datetime.fromtimestamp(int(seconds), timezone(offset)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
