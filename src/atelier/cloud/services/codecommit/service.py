"""CodeCommit's operations and its CloudFormation type."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from git import BadName, Blob, Commit, GitCommandError, Repo
from git.util import Actor

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.codecommit import records, repositories
from atelier.cloud.services.codecommit.notices import Watch
from atelier.cloud.services.resources import Made, Request, ResourceType, refuse_unknown
from atelier.cloud.services.wire import Document, Service, ServiceError, accept, everything

SERVICE = Service("codecommit", actions="codecommit")
MODES = {0o100755: "EXECUTABLE", 0o120000: "SYMLINK"}
FILE_BYTES = 6 * 1024 * 1024

_watches: dict[int, Watch] = {}


def start(cloud: Cloud) -> None:
    """Publish what was pushed before a stop or a kill, and open the repositories for pushes."""
    watch = _watches[id(cloud.store)] = Watch(cloud)
    watch.start()


def stop(cloud: Cloud) -> None:
    """Refuse further pushes."""
    if watch := _watches.pop(id(cloud.store), None):
        watch.stop()


SERVICE.start, SERVICE.stop = start, stop


def repository_arn(cloud: Cloud, request: Document) -> str:
    """Return the ARN of the repository that a request names."""
    return cloud.arn("codecommit", request["repositoryName"])


def resource_arn(_cloud: Cloud, request: Document) -> str:
    """Return the ARN that a request names itself."""
    return str(request["resourceArn"])


@SERVICE.operation("CreateRepository", on=repository_arn)
def create_repository(cloud: Cloud, request: Document) -> Document:
    """Make an empty repository."""
    if "kmsKeyId" in request:
        raise Refused("kmsKeyId is not part of the local cloud: repositories are plain files of their owner")
    record = records.create(
        cloud, request["repositoryName"], request.get("repositoryDescription"), request.get("tags", {})
    )
    return {"repositoryMetadata": records.metadata(cloud, record)}


@SERVICE.operation("GetRepository", on=repository_arn)
def get_repository(cloud: Cloud, request: Document) -> Document:
    """Describe a repository."""
    return {"repositoryMetadata": records.metadata(cloud, records.find(cloud, request["repositoryName"]))}


@SERVICE.operation("ListRepositories", on=everything)
def list_repositories(cloud: Cloud, request: Document) -> Document:
    """List all repositories, in one page."""
    key = request.get("sortBy", "repositoryName")
    found = [record for _, record in cloud.store.table(records.REPOSITORIES).items()]
    found.sort(key=lambda record: str(record[key]), reverse=request.get("order") == "descending")
    return {
        "repositories": [{name: each[name] for name in ("repositoryName", "repositoryId")} for each in found]
    }


@SERVICE.operation("DeleteRepository", on=repository_arn)
def delete_repository(cloud: Cloud, request: Document) -> Document:
    """Delete a repository and its history; one that is not there is deleted already."""
    name = request["repositoryName"]
    record = cloud.store.table(records.REPOSITORIES).get(name)
    records.forget(cloud, name)
    return {"repositoryId": record["repositoryId"] if record else None}


@SERVICE.operation("ListTagsForResource", on=resource_arn)
def list_tags(cloud: Cloud, request: Document) -> Document:
    """Return a repository's tags."""
    return {"tags": records.find(cloud, request["resourceArn"].rpartition(":")[2])["tags"]}


@SERVICE.operation("ListBranches", on=repository_arn)
def list_branches(cloud: Cloud, request: Document) -> Document:
    """List all branches, in one page."""
    with opened(cloud, request) as repository:
        return {"branches": [head.name for head in repository.heads]}


@SERVICE.operation("GetBranch", on=repository_arn)
def get_branch(cloud: Cloud, request: Document) -> Document:
    """Return the commit that a branch points to."""
    name = request.get("branchName", "")
    with opened(cloud, request) as repository:
        head = next((each for each in repository.heads if each.name == name), None)
        if head is None:
            raise ServiceError("BranchDoesNotExistException", f"{name} does not exist")
        return {"branch": {"branchName": name, "commitId": head.commit.hexsha}}


@SERVICE.operation("GetCommit", on=repository_arn)
def get_commit(cloud: Cloud, request: Document) -> Document:
    """Describe one commit, by its full id."""
    with opened(cloud, request) as repository:
        commit = commit_of(repository, request["commitId"], "CommitIdDoesNotExistException")
        return {
            "commit": {
                "commitId": commit.hexsha,
                "treeId": commit.tree.hexsha,
                "parents": [parent.hexsha for parent in commit.parents],
                "message": _text(commit.message),
                "author": _person(commit.author, commit.authored_date, commit.author_tz_offset),
                "committer": _person(commit.committer, commit.committed_date, commit.committer_tz_offset),
                "additionalData": "",
            }
        }


@SERVICE.operation("GetFile", on=repository_arn)
def get_file(cloud: Cloud, request: Document) -> Document:
    """Return one file as a commit, a branch or the default branch has it."""
    with opened(cloud, request) as repository:
        commit = commit_of(repository, request.get("commitSpecifier", "HEAD"), "CommitDoesNotExistException")
        path = request["filePath"].strip("/")
        try:
            blob = commit.tree[path] if path else None
        except KeyError:
            blob = None
        if not isinstance(blob, Blob):
            raise ServiceError("FileDoesNotExistException", f"{path} does not exist in {commit.hexsha}")
        if blob.size > FILE_BYTES:
            raise ServiceError("FileTooLargeException", f"{path} is larger than {FILE_BYTES} bytes")
        return {
            "commitId": commit.hexsha,
            "blobId": blob.hexsha,
            "filePath": path,
            "fileMode": MODES.get(blob.mode, "NORMAL"),
            "fileSize": blob.size,
            "fileContent": base64.b64encode(blob.data_stream.read()).decode(),
        }


@contextmanager
def opened(cloud: Cloud, request: Document) -> Iterator[Repo]:
    """Open the repository that a request names, and close git's helper processes again."""
    name = records.find(cloud, request["repositoryName"])["repositoryName"]
    with repositories.opened(cloud, name) as repository:
        yield repository


def commit_of(repository: Repo, revision: str, missing: str) -> Commit:
    """Return a commit; raise the error *missing* when it is not there."""
    try:
        found = repository.commit(revision)
        found.tree  # noqa: B018  # GitPython reads lazily: a commit that is not there shows only now
    except (BadName, GitCommandError, ValueError) as error:
        raise ServiceError(missing, f"{revision} does not exist") from error
    return found


def _person(who: Actor, when: int, offset: float) -> Document:
    minutes = int(-offset // 60)  # git counts west of Greenwich
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    return {"name": who.name, "email": who.email, "date": f"{when} {zone}"}


def _text(message: str | bytes) -> str:
    return message if isinstance(message, str) else message.decode(errors="replace")


def _made(cloud: Cloud, record: Mapping[str, Any]) -> Made:
    place = str(repositories.path(cloud, record["repositoryName"]))
    attributes = {
        "Arn": cloud.arn("codecommit", record["repositoryName"]),
        "CloneUrlHttp": place,
        "CloneUrlSsh": place,
        "Name": record["repositoryName"],
    }
    return Made(ref=record["repositoryId"], attributes=attributes)


def _request(request: Request) -> Document:
    refuse_unknown(REPOSITORY, request.properties)
    properties = request.properties
    document = {"repositoryName": properties.get("RepositoryName")}
    if "RepositoryDescription" in properties:
        document["repositoryDescription"] = properties["RepositoryDescription"]
    if "Tags" in properties:
        document["tags"] = {each["Key"]: each["Value"] for each in properties["Tags"]}
    return accept(document, SERVICE.shapes.operation_model("CreateRepository").input_shape)


def create(cloud: Cloud, request: Request) -> Made:
    """Make the repository of a stack."""
    wanted = _request(request)
    record = records.create(
        cloud, wanted["repositoryName"], wanted.get("repositoryDescription"), wanted.get("tags", {})
    )
    return _made(cloud, record)


def update(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change description and tags; a new name means a new, empty repository."""
    wanted = _request(request)
    record = records.by_id(cloud, ref)
    if record is None or record["repositoryName"] != wanted["repositoryName"]:
        return create(cloud, request)
    changed = cloud.store.table(records.REPOSITORIES).change(
        record["repositoryName"],
        repositoryDescription=wanted.get("repositoryDescription"),
        tags=wanted.get("tags", {}),
    )
    return _made(cloud, changed)


def delete(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Delete the repository of a stack."""
    if record := records.by_id(cloud, ref):
        records.forget(cloud, record["repositoryName"])


REPOSITORY = ResourceType(
    type="AWS::CodeCommit::Repository",
    properties=frozenset({"RepositoryName", "RepositoryDescription", "Tags"}),
    create=create,
    update=update,
    delete=delete,
)
