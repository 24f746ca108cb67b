"""How builds end when they are not left alone, and what EventBridge hears: on fakes."""

import os
import subprocess
import time

import pytest
from fakes import FakeIdentity, fake_cloud

from atelier.cloud.context import Refused
from atelier.cloud.services.codebuild import builds, workbench
from atelier.cloud.services.codebuild.failures import Invalid
from atelier.cloud.services.codebuild.journal import BUILDS
from atelier.cloud.services.codebuild.service import PROJECT, SERVICE
from atelier.cloud.services.resources import Request
from atelier.cloud.services.wire import ServiceError

ROLE = "arn:aws:iam::000000000000:role/builder"
LINUX = {
    "type": "LINUX_CONTAINER",
    "image": "aws/codebuild/standard:7.0",
    "computeType": "BUILD_GENERAL1_SMALL",
}
QUIET = {"cloudWatchLogs": {"status": "DISABLED"}}


@pytest.fixture
def cloud(tmp_path):
    cloud = fake_cloud(tmp_path)
    yield cloud
    builds.interrupt(cloud)
    cloud.store.close()


def project(cloud, *commands, **more):
    spec = "version: 0.2\nphases:\n  build:\n    commands:\n" + "".join(
        f"      - {each}\n" for each in commands
    )
    wanted = {
        "name": "app",
        "source": {"type": "NO_SOURCE", "buildspec": spec},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": LINUX,
        "serviceRole": ROLE,
        "logsConfig": QUIET,
    }
    return SERVICE.call(cloud, "CreateProject", wanted | more)["project"]


def start(cloud, **overrides):
    return SERVICE.call(cloud, "StartBuild", {"projectName": "app", **overrides})["build"]["id"]


def wait(cloud, build, until=lambda shown: shown["buildComplete"]):
    deadline = time.monotonic() + 60
    while not until(shown := SERVICE.call(cloud, "BatchGetBuilds", {"ids": [build]})["builds"][0]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return shown


def building(shown):
    return shown["currentPhase"] == "BUILD"


def phase(build, name):
    return next(each for each in build["phases"] if each["phaseType"] == name)


def test_eventbridge_hears_of_start_and_end(cloud):
    project(cloud, "exit 3")
    build = wait(cloud, start(cloud))

    first, last = cloud.events.published
    assert ["IN_PROGRESS", "FAILED"] == [each["detail"]["build-status"] for each in (first, last)]
    assert ("aws.codebuild", "CodeBuild Build State Change") == (last["source"], last["detail-type"])
    assert [build["arn"]] == last["resources"]
    information = last["detail"]["additional-information"]
    told = {each["phase-type"]: each for each in information["phases"]}
    expected = ["COMMAND_EXECUTION_ERROR: Error while executing command: exit 3. Reason: exit status 3"]
    assert expected == told["BUILD"]["phase-context"]


def test_a_build_that_takes_too_long_is_ended(cloud):
    made = project(cloud, "sleep 300", "echo never")
    cloud.store.table("codebuild.projects").put("app", made | {"timeoutInMinutes": 0.01})

    build = wait(cloud, start(cloud))

    assert "TIMED_OUT" == build["buildStatus"]
    assert "BUILD_TIMED_OUT" in phase(build, "BUILD")["contexts"][0]["message"]


def test_a_build_under_way_is_stopped_with_the_cloud(cloud):
    project(cloud, "sleep 300")
    build = start(cloud)
    wait(cloud, build, building)

    builds.interrupt(cloud)

    shown = wait(cloud, build)
    assert "STOPPED" == shown["buildStatus"]
    assert "The local cloud was stopped" in phase(shown, "BUILD")["contexts"][0]["message"]


def test_what_a_kill_of_the_cloud_left_behind_is_cleared_at_the_next_start(cloud):
    project(cloud, "true")
    build = start(cloud)
    done = wait(cloud, build)
    record = cloud.store.table(BUILDS).get(build)
    under_way = {"phaseType": "BUILD", "phaseStatus": "IN_PROGRESS", "startTime": record["startTime"]}
    cloud.store.table(BUILDS).put(
        build, record | {"buildComplete": False, "buildStatus": "IN_PROGRESS", "phases": [under_way]}
    )
    left = subprocess.Popen(["sleep", "300"], env={"CODEBUILD_BUILD_ID": build, "PATH": os.environ["PATH"]})
    folder = workbench.Workbench.of(cloud, build)
    folder.make()

    builds.resume(cloud)

    shown = wait(cloud, build)
    assert done["id"] == shown["id"]
    assert ("FAILED", "INTERRUPTED") == (
        shown["buildStatus"],
        shown["phases"][0]["contexts"][0]["statusCode"],
    )
    assert -9 == left.wait(20)
    assert not folder.root.exists()
    assert "FAILED" == cloud.events.published[-1]["detail"]["build-status"]


def test_a_finished_build_leaves_no_files(cloud):
    project(cloud, "mkdir a && touch a/b && chmod 500 a")
    build = wait(cloud, start(cloud))

    assert not workbench.Workbench.of(cloud, build["id"]).root.exists()


def test_the_same_token_is_the_same_build(cloud):
    project(cloud, "true")
    once = start(cloud, idempotencyToken="t")

    assert once == start(cloud, idempotencyToken="t")
    with pytest.raises(ServiceError, match="idempotencyToken"):
        start(cloud, idempotencyToken="t", buildspecOverride="version: 0.2\n")
    wait(cloud, once)


def test_a_projects_own_limit_is_kept(cloud):
    project(cloud, "sleep 300", concurrentBuildLimit=1)
    start(cloud)

    with pytest.raises(ServiceError, match="concurrent build limit cannot exceed 1"):
        start(cloud)


def queued(cloud, builds):
    phases = {each: wait(cloud, each, bool)["currentPhase"] for each in builds}
    return [each for each, phase in phases.items() if phase in ("SUBMITTED", "QUEUED")]


def test_more_builds_than_run_at_once_wait_and_can_be_stopped(cloud):
    project(cloud, "sleep 300")
    started = [start(cloud) for _ in range(6)]
    wait(cloud, started[0], lambda _: len(queued(cloud, started)) == 2)

    stopped = SERVICE.call(cloud, "StopBuild", {"id": queued(cloud, started)[-1]})["build"]

    assert "STOPPED" == stopped["buildStatus"]
    assert 1 == len(queued(cloud, started))


def test_a_pipelines_project_cannot_be_started_without_one(cloud):
    project(cloud, source={"type": "CODEPIPELINE"}, artifacts={"type": "CODEPIPELINE"})

    with pytest.raises(ServiceError, match="only by a pipeline"):
        start(cloud)


def test_a_role_can_be_given_only_by_who_may_pass_it(tmp_path):
    cloud = fake_cloud(tmp_path, identity=FakeIdentity(denied={"iam:PassRole"}))

    with pytest.raises(ServiceError, match=f"iam:PassRole on resource: {ROLE}"):
        project(cloud, "true")
    cloud.identity.denied.clear()
    project(cloud, "true")
    cloud.identity.denied.add("iam:PassRole")
    with pytest.raises(ServiceError, match="iam:PassRole"):
        start(cloud, serviceRoleOverride=ROLE)
    cloud.store.close()


def test_calls_are_authorised_on_the_project(cloud):
    project(cloud, "true")
    build = wait(cloud, start(cloud))

    asked = dict(cloud.identity.asked)
    arn = "arn:aws:codebuild:us-east-1:000000000000:project/app"
    assert {arn} == {
        asked["codebuild:StartBuild"],
        asked["codebuild:BatchGetBuilds"],
        asked["codebuild:CreateProject"],
    }
    assert build["arn"].endswith(build["id"])


@pytest.mark.parametrize(("is_privileged", "status"), [(True, "SUCCEEDED"), (False, "FAILED")])
def test_only_a_privileged_build_may_use_docker(cloud, tmp_path, is_privileged, status):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "docker").write_text("#!/bin/sh\nexit 0\n")
    (tools / "docker").chmod(0o755)
    cloud.engine.tools = tools
    project(cloud, "docker info", environment=LINUX | {"privilegedMode": is_privileged})

    assert status == wait(cloud, start(cloud))["buildStatus"]


def test_a_build_that_may_not_use_docker_is_told_so_as_on_aws(cloud):
    bench = workbench.Workbench(cloud.home / "bench")
    bench.make()

    environment = bench.environment(cloud, is_privileged=False)
    ended = subprocess.run(["docker", "build", "."], env=environment, capture_output=True, text=True)

    assert 1 == ended.returncode
    assert "Cannot connect to the Docker daemon" in ended.stderr
    assert "set privilegedMode" in ended.stderr


def wanted(**properties):
    basic = {
        "Artifacts": {"Type": "CODEPIPELINE"},
        "Source": {"Type": "CODEPIPELINE", "BuildSpec": "buildspecs/train.yml"},
        "Environment": {
            "Type": "LINUX_CONTAINER",
            "ComputeType": "BUILD_GENERAL1_SMALL",
            "Image": "aws/codebuild/standard:7.0",
            "PrivilegedMode": "true",
            "EnvironmentVariables": [{"Name": "A", "Value": 7}],
        },
        "ServiceRole": ROLE,
        "TimeoutInMinutes": "15",
    }
    return Request(stack="s", logical_id="Build", name="s-build", properties=basic | properties)


def test_a_stack_makes_changes_and_deletes_a_project(cloud):
    made = PROJECT.create(cloud, wanted(Description="old"))
    same = PROJECT.update(cloud, made.ref, wanted())
    [shown] = SERVICE.call(cloud, "BatchGetProjects", {"names": ["s-build"]})["projects"]

    assert made == same
    assert ("s-build", {"Arn": shown["arn"]}) == (made.ref, made.attributes)
    assert (15, True) == (shown["timeoutInMinutes"], shown["environment"]["privilegedMode"])
    assert [{"name": "A", "value": "7"}] == shown["environment"]["environmentVariables"]
    assert "buildspecs/train.yml" == shown["source"]["buildspec"]
    assert "description" not in shown
    PROJECT.delete(cloud, made.ref, {})
    assert [] == SERVICE.call(cloud, "ListProjects", {})["projects"]


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"VpcConfig": {}}, r"AWS::CodeBuild::Project\.VpcConfig"),
        ({"Triggers": {}}, r"AWS::CodeBuild::Project\.Triggers"),
        ({"Cache": {"Colour": "red"}}, r"AWS::CodeBuild::Project\.Cache\.Colour"),
        ({"Source": {"Type": "BITBUCKET", "Location": "x"}}, "source.type: BITBUCKET"),
    ],
)
def test_a_property_that_the_type_does_not_read_is_refused(cloud, properties, problem):
    with pytest.raises(Refused, match=problem):
        PROJECT.create(cloud, wanted(**properties))


def test_python_is_the_hosts_unless_another_one_is_there():
    assert workbench.find_python(None) == workbench.find_python(workbench.HERE)
    with pytest.raises(Invalid, match=r"python 3\.9 is not on this machine"):
        workbench.find_python("3.9")
