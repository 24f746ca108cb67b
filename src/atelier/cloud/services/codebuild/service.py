"""CodeBuild's operations and its CloudFormation type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.codebuild import builds, projects
from atelier.cloud.services.codebuild.journal import BUILDS
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation, refuse_unknown
from atelier.cloud.services.roles import pass_role
from atelier.cloud.services.wire import Document, Service, accept, everything
from atelier.cloud.store import Record

SERVICE = Service("codebuild", actions="codebuild", start=builds.resume, stop=builds.interrupt)


def on_project(member: str) -> Any:
    """Authorise on the project that a request names in *member*."""
    return lambda cloud, request: projects.arn(cloud, projects.name_of(request[member]))


def on_build(cloud: Cloud, request: Document) -> str:
    """Authorise on the project of one build."""
    return _project_of(cloud, request["id"])


def on_builds(cloud: Cloud, request: Document) -> list[str]:
    """Authorise on the projects of several builds."""
    return sorted({_project_of(cloud, each) for each in request["ids"]})


def on_projects(cloud: Cloud, request: Document) -> list[str]:
    """Authorise on several projects."""
    return [projects.arn(cloud, projects.name_of(each)) for each in request["names"]]


def _project_of(cloud: Cloud, build: str) -> str:
    return projects.arn(cloud, build.rpartition(":build/")[2].partition(":")[0])


def _pass_role(cloud: Cloud, role: str | None) -> None:
    if role:
        pass_role(cloud, role, "codebuild.amazonaws.com")


def _shown(build: Record) -> Document:
    return {key: value for key, value in build.items() if key != "plan"}


@SERVICE.operation("CreateProject", on=on_project("name"))
def create_project(cloud: Cloud, request: Document) -> Document:
    """Make a project."""
    _pass_role(cloud, request.get("serviceRole"))
    return {"project": projects.create(cloud, request)}


@SERVICE.operation("UpdateProject", on=on_project("name"))
def update_project(cloud: Cloud, request: Document) -> Document:
    """Change the members that are given."""
    _pass_role(cloud, request.get("serviceRole"))
    return {"project": projects.update(cloud, request)}


@SERVICE.operation("DeleteProject", on=on_project("name"))
def delete_project(cloud: Cloud, request: Document) -> None:
    """Delete a project; one that is not there is deleted already."""
    projects.delete(cloud, projects.name_of(request["name"]))


@SERVICE.operation("BatchGetProjects", on=on_projects)
def batch_get_projects(cloud: Cloud, request: Document) -> Document:
    """Describe projects."""
    names = [projects.name_of(each) for each in request["names"]]
    found = {name: cloud.store.table(projects.PROJECTS).get(name) for name in names}
    return {
        "projects": [each for each in found.values() if each],
        "projectsNotFound": [name for name, each in found.items() if not each],
    }


@SERVICE.operation("ListProjects", on=everything)
def list_projects(cloud: Cloud, request: Document) -> Document:
    """List all projects, in one page."""
    key = {"CREATED_TIME": "created", "LAST_MODIFIED_TIME": "lastModified"}.get(
        request.get("sortBy", ""), "name"
    )
    found = [record for _, record in cloud.store.table(projects.PROJECTS).items()]
    found.sort(key=lambda record: str(record[key]), reverse=request.get("sortOrder") == "DESCENDING")
    return {"projects": [each["name"] for each in found]}


@SERVICE.operation("StartBuild", on=on_project("projectName"))
def start_build(cloud: Cloud, request: Document) -> Document:
    """Start a build."""
    _pass_role(cloud, request.get("serviceRoleOverride"))
    return {"build": _shown(builds.start(cloud, request))}


@SERVICE.operation("StopBuild", on=on_build)
def stop_build(cloud: Cloud, request: Document) -> Document:
    """Stop a build, with everything that it started."""
    return {"build": _shown(builds.stop(cloud, request["id"]))}


@SERVICE.operation("BatchGetBuilds", on=on_builds)
def batch_get_builds(cloud: Cloud, request: Document) -> Document:
    """Describe builds."""
    found = {each: builds.find(cloud, each) for each in request["ids"]}
    return {
        "builds": [_shown(each) for each in found.values() if each],
        "buildsNotFound": [name for name, each in found.items() if not each],
    }


@SERVICE.operation("ListBuildsForProject", on=on_project("projectName"))
def list_builds_for_project(cloud: Cloud, request: Document) -> Document:
    """List a project's builds in one page, the latest first unless asked otherwise."""
    name = projects.find(cloud, projects.name_of(request["projectName"]))["name"]
    ids = [key for key, _ in cloud.store.table(BUILDS).items() if key.startswith(f"{name}:")]
    return {"ids": ids if request.get("sortOrder") == "ASCENDING" else ids[::-1]}


def _wanted(request: Request) -> Document:
    refuse_unknown(PROJECT, request.properties)
    shape = SERVICE.shapes.operation_model("CreateProject").input_shape
    assert shape is not None
    properties = {"Name": request.name, **request.properties}
    return accept(from_cloudformation(properties, shape, PROJECT.type), shape)


def _made(project: Record) -> Made:
    return Made(ref=project["name"], attributes={"Arn": project["arn"]})


def create(cloud: Cloud, request: Request) -> Made:
    """Make the project of a stack."""
    return _made(projects.create(cloud, _wanted(request)))


def update(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change the project of a stack; a new name means a new project."""
    wanted = _wanted(request)
    if wanted["name"] != ref:
        return _made(projects.create(cloud, wanted))
    return _made(projects.replace(cloud, wanted))


def delete(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Delete the project of a stack."""
    projects.delete(cloud, ref)


PROJECT = ResourceType(
    type="AWS::CodeBuild::Project",
    properties=frozenset(name[0].upper() + name[1:] for name in projects.READ["project"]),
    create=create,
    update=update,
    delete=delete,
)

PLUGIN = Plugin(scope="codebuild", service=SERVICE, resources=(PROJECT,))
