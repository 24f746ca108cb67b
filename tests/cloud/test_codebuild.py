"""CodeBuild in the running cloud: builds that really run, as their projects' roles."""

import hashlib
import io
import json
import subprocess
import time
import zipfile

import pytest
from botocore.exceptions import ClientError

IMAGE = "aws/codebuild/standard:7.0"
LOGS = {
    "Effect": "Allow",
    "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    "Resource": "*",
}
S3 = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], "Resource": "*"}


class Site:
    """A project's surroundings: its role, a bucket, and the ways to build and look."""

    def __init__(self, cloud, role, unique):
        self.cloud, self.name = cloud, unique
        self.builds, self.s3, self.logs = (cloud.client(each) for each in ("codebuild", "s3", "logs"))
        self.role = role
        self.s3.create_bucket(Bucket=unique)

    def project(self, spec, *, statements=(LOGS, S3), source=None, artifacts=None, environment=None, **more):
        return self.builds.create_project(
            name=self.name,
            source={"type": "NO_SOURCE", "buildspec": spec} | (source or {}),
            artifacts=artifacts or {"type": "NO_ARTIFACTS"},
            environment={"type": "LINUX_CONTAINER", "image": IMAGE, "computeType": "BUILD_GENERAL1_SMALL"}
            | (environment or {}),
            serviceRole=self.role(self.cloud, list(statements), "codebuild.amazonaws.com"),
            **more,
        )["project"]

    def start(self, **overrides):
        return self.builds.start_build(projectName=self.name, **overrides)["build"]["id"]

    def show(self, build):
        return self.builds.batch_get_builds(ids=[build])["builds"][0]

    def wait(self, build):
        deadline = time.monotonic() + 120
        while not (shown := self.show(build))["buildComplete"]:
            assert time.monotonic() < deadline, shown["currentPhase"]
            time.sleep(0.1)
        return shown

    def build(self, spec, *, overrides=None, **project):
        self.project(spec, **project)
        return self.wait(self.start(**(overrides or {})))

    def log(self, build):
        logs = build["logs"]
        pages = self.logs.get_log_events(
            logGroupName=logs["groupName"], logStreamName=logs["streamName"], startFromHead=True
        )
        return [event["message"] for event in pages["events"]]

    def said(self, build):
        return [line for line in self.log(build) if not line.startswith("[Container]")]

    def put(self, key, files):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        self.s3.put_object(Bucket=self.name, Key=key, Body=buffer.getvalue())


@pytest.fixture
def site(cloud, role, unique):
    return Site(cloud, role, unique)


def phase(build, name):
    return next(each for each in build["phases"] if each["phaseType"] == name)


def spec(*commands, **more):
    return json.dumps({"version": "0.2", "phases": {"build": {"commands": list(commands)}}, **more}, indent=1)


def test_a_build_runs_its_commands_and_logs_every_line(site):
    build = site.build(spec("echo one", "echo two >&2", "printf three"))

    assert "SUCCEEDED" == build["buildStatus"]
    assert ["one", "two", "three"] == [line.partition("[")[0] for line in site.said(build)]
    assert f"/aws/codebuild/{site.name}" == build["logs"]["groupName"]
    assert build["id"].endswith(build["logs"]["streamName"])
    expected = [
        *("SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD"),
        *("POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED"),
    ]
    assert expected == [each["phaseType"] for each in build["phases"]]


def test_the_failing_command_is_named_with_its_status(site):
    build = site.build(spec("true", "sh -c 'exit 42'", "echo not reached"))

    context = phase(build, "BUILD")["contexts"][0]
    assert "FAILED" == build["buildStatus"]
    assert "COMMAND_EXECUTION_ERROR" == context["statusCode"]
    assert "Error while executing command: sh -c 'exit 42'. Reason: exit status 42" == context["message"]
    assert "not reached" not in site.said(build)


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        (
            {"pre_build": {"commands": ["false"]}, "post_build": {"commands": ["echo post"]}},
            [],
        ),
        (
            {
                "build": {"commands": ["false"]},
                "post_build": {"commands": ["echo $CODEBUILD_BUILD_SUCCEEDING"]},
            },
            ["0"],
        ),
        (
            {
                "build": {"commands": ["false"], "on-failure": "ABORT"},
                "post_build": {"commands": ["echo post"]},
            },
            [],
        ),
        (
            {
                "install": {"commands": ["false"], "on-failure": "CONTINUE"},
                "build": {"commands": ["echo on"]},
            },
            ["on"],
        ),
        (
            {"build": {"commands": ["exit 5"], "finally": ["echo last"]}},
            ["last"],
        ),
    ],
)
def test_what_runs_after_a_failure(site, phases, said):
    build = site.build(json.dumps({"version": "0.2", "phases": phases}, indent=1))

    assert "FAILED" == build["buildStatus"]
    assert said == site.said(build)


def test_overrides_win_over_the_project_and_that_over_the_buildspec(site):
    text = spec('echo "$A $B $C"', env={"variables": {"A": "spec", "B": "spec", "C": "spec"}})
    given = {name: {"name": name, "value": "project"} for name in "BC"}
    override = [{"name": "C", "value": "override", "type": "PLAINTEXT"}]

    build = site.build(
        text,
        environment={"environmentVariables": list(given.values())},
        overrides={"environmentVariablesOverride": override},
    )

    assert ["spec project override"] == site.said(build)


def test_exported_variables_are_shown_and_unset_ones_are_not(site):
    text = spec("TAG=abc", "export SUM=$((1 + 2))", env={"exported-variables": ["TAG", "SUM", "NONE"]})

    build = site.build(text)

    exported = {each["name"]: each["value"] for each in build["exportedEnvironmentVariables"]}
    assert {"TAG": "abc", "SUM": "3"} == exported


def test_a_build_sees_nothing_of_the_users_environment(site):
    build = site.build(spec("env"))

    said = dict(line.partition("=")[::2] for line in site.said(build) if "=" in line)
    assert {"ATELIER_HOME", "ATELIER_CACHE", "AUTH", "STATE_DIR", "PYTEST_CURRENT_TEST"}.isdisjoint(said)
    assert build["id"] == said["CODEBUILD_BUILD_ID"]
    assert build["arn"] == said["CODEBUILD_BUILD_ARN"]
    assert "1" == said["CODEBUILD_BUILD_NUMBER"]
    assert site.cloud.endpoint == said["AWS_ENDPOINT_URL"]
    assert {"***"} == {said["AWS_SECRET_ACCESS_KEY"], said["AWS_SESSION_TOKEN"]}
    assert said["HOME"].startswith(str(site.cloud.home / "builds"))


def test_a_build_acts_as_its_projects_role_and_no_more(site):
    text = spec(
        "aws sts get-caller-identity --query Arn --output text",
        f"echo hello >x && aws s3 cp --quiet x s3://{site.name}/x",
        "aws iam list-users",
    )

    build = site.build(text)

    said = "\n".join(site.said(build))
    assert ":assumed-role/" in said
    assert b"hello\n" == site.s3.get_object(Bucket=site.name, Key="x")["Body"].read()
    assert "AccessDenied" in said
    assert phase(build, "BUILD")["contexts"][0]["message"].startswith(
        "Error while executing command: aws iam"
    )


def test_the_aws_tools_are_there_and_nothing_of_the_cloud_is(site):
    build = site.build(
        spec(
            "python -c 'import boto3, botocore, pip'",
            "python -c 'import ministack' 2>/dev/null || echo no ministack",
            "python -c 'import atelier' 2>/dev/null || echo no atelier",
            'mkdir p && touch p/mine.py && printf "$SETUP" >p/setup.py',
            "pip install --quiet --no-build-isolation --no-deps ./p",
            "python -c 'import mine; print(mine.__file__)'",
            env={
                "variables": {
                    "SETUP": "from setuptools import setup; setup(name='mine', py_modules=['mine'])"
                }
            },
        )
    )

    said = site.said(build)
    assert ["no ministack", "no atelier"] == said[:2], said
    assert said[-1].startswith(str(site.cloud.home / "builds"))
    assert "SUCCEEDED" == build["buildStatus"]


def test_parameters_and_secrets_are_read_as_the_role_and_hidden_in_the_log(site):
    parameter, secret = f"/{site.name}/token", f"{site.name}-secret"
    site.cloud.client("ssm").put_parameter(Name=parameter, Value="p4rameter", Type="SecureString")
    site.cloud.client("secretsmanager").create_secret(Name=secret, SecretString='{"key": "s3cret"}')
    text = spec(
        'echo "$P $S"; printf %s "$P $S" | md5sum',
        env={"parameter-store": {"P": parameter}, "secrets-manager": {"S": f"{secret}:key"}},
    )
    allowed = {
        "Effect": "Allow",
        "Action": ["ssm:GetParameters", "ssm:GetParameter", "secretsmanager:GetSecretValue"],
    }

    build = site.build(text, statements=[LOGS, allowed | {"Resource": "*"}])

    assert "*** ***" == site.said(build)[0]
    assert hashlib.md5(b"p4rameter s3cret").hexdigest() == site.said(build)[1].split()[0]
    assert "SUCCEEDED" == build["buildStatus"]


def test_a_secret_that_the_role_may_not_read_fails_the_build_with_its_reason(site):
    build = site.build(spec("true", env={"parameter-store": {"P": "/none"}}))

    assert "FAILED" == build["buildStatus"]
    assert "/none" in phase(build, "DOWNLOAD_SOURCE")["contexts"][0]["message"]


def test_a_zip_from_s3_becomes_a_zip_in_s3(site):
    text = spec(
        "mkdir out", "tr a-z A-Z <in.txt >out/up.txt", artifacts={"files": ["*"], "base-directory": "out"}
    )
    site.put("source.zip", {"in.txt": "hello", "buildspec.yml": text})

    build = site.build(
        "",
        source={"type": "S3", "location": f"{site.name}/source.zip", "buildspec": "buildspec.yml"},
        artifacts={"type": "S3", "location": site.name, "path": "a", "name": "out.zip", "packaging": "ZIP"},
    )

    body = site.s3.get_object(Bucket=site.name, Key="a/out.zip")["Body"].read()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert {"up.txt": b"HELLO"} == {name: archive.read(name) for name in archive.namelist()}
    assert f"arn:aws:s3:::{site.name}/a/out.zip" == build["artifacts"]["location"]
    assert 64 == len(build["artifacts"]["sha256sum"])


def test_a_pipeline_names_sources_and_artifacts_of_its_own(site):
    text = spec(
        'cat in.txt "$CODEBUILD_SRC_DIR_Data/data.txt" >all.txt',
        "echo $CODEBUILD_RESOLVED_SOURCE_VERSION $CODEBUILD_INITIATOR",
        artifacts={"files": ["all.txt"], "secondary-artifacts": {"Raw": {"files": ["in.txt"]}}},
    )
    site.put("main/1", {"in.txt": "main ", "buildspec.yml": text})
    site.put("data/1", {"data.txt": "data"})
    target = {"type": "CODEPIPELINE", "location": site.name, "path": "out", "packaging": "ZIP"}
    source = {"type": "CODEPIPELINE", "buildspec": "buildspec.yml"}
    site.project("", source=source, artifacts={"type": "CODEPIPELINE"})
    request = {
        "idempotencyToken": "once",
        "sourceLocationOverride": f"{site.name}/main/1",
        "sourceVersion": "c0ffee",
        "secondarySourcesOverride": [
            {
                "type": "CODEPIPELINE",
                "location": f"arn:aws:s3:::{site.name}/data/1",
                "sourceIdentifier": "Data",
            }
        ],
        "artifactsOverride": target | {"name": "main"},
        "secondaryArtifactsOverride": [target | {"name": "raw", "artifactIdentifier": "Raw"}],
    }

    build = site.wait(site.start(**request))

    with zipfile.ZipFile(
        io.BytesIO(site.s3.get_object(Bucket=site.name, Key="out/main")["Body"].read())
    ) as archive:
        assert b"main data" == archive.read("all.txt")
    assert "c0ffee" == build["resolvedSourceVersion"]
    assert site.said(build)[0].startswith("c0ffee codepipeline/")
    assert [f"arn:aws:s3:::{site.name}/out/raw"] == [each["location"] for each in build["secondaryArtifacts"]]
    assert build["id"] == site.start(**request)
    only_raw = site.wait(
        site.start(**request | {"idempotencyToken": "2", "artifactsOverride": {"type": "NO_ARTIFACTS"}})
    )
    assert ("SUCCEEDED", {}) == (only_raw["buildStatus"], only_raw["artifacts"])


def test_a_repository_is_cloned_as_the_role(site, tmp_path):
    url = site.cloud.client("codecommit").create_repository(repositoryName=site.name)["repositoryMetadata"][
        "cloneUrlHttp"
    ]
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@b"]
    (tmp_path / "buildspec.yml").write_text(
        spec("git log -1 --format=%s", "echo $CODEBUILD_RESOLVED_SOURCE_VERSION")
    )
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-qm", "Hello"],
        ["push", "-q", url, "main"],
    ):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    pull = {"Effect": "Allow", "Action": "codecommit:GitPull", "Resource": "*"}
    source = {"type": "CODECOMMIT", "location": url, "buildspec": "buildspec.yml"}

    site.project("", source=source, statements=[LOGS])
    denied = site.wait(site.start())
    site.builds.update_project(
        name=site.name, serviceRole=site.role(site.cloud, [LOGS, pull], "codebuild.amazonaws.com")
    )
    allowed = site.wait(site.start(sourceVersion="main"))
    unknown = site.wait(site.start(sourceVersion="nowhere"))

    assert (
        "not authorized to perform: codecommit:GitPull"
        in phase(denied, "DOWNLOAD_SOURCE")["contexts"][0]["message"]
    )
    assert ["Hello", head] == site.said(allowed)
    assert head == allowed["resolvedSourceVersion"]
    assert "nowhere is no branch" in phase(unknown, "DOWNLOAD_SOURCE")["contexts"][0]["message"]


def test_a_stop_ends_a_build_with_all_that_it_started(site):
    site.project(spec("setsid sleep 300 & sleep 300"))
    build = site.start()
    deadline = time.monotonic() + 60
    while site.show(build)["currentPhase"] != "BUILD" and time.monotonic() < deadline:
        time.sleep(0.05)

    stopped = site.builds.stop_build(id=build)["build"]

    assert ("STOPPED", True) == (stopped["buildStatus"], stopped["buildComplete"])
    assert "The build was stopped." == phase(stopped, "BUILD")["contexts"][0]["message"]
    assert "STOPPED" == site.builds.stop_build(id=build)["build"]["buildStatus"]


def test_a_bad_buildspec_fails_the_build_by_name(site):
    build = site.build("version: 0.2\nphases: {build: {commands: [x]}}\nreports: {}\n")

    context = phase(build, "DOWNLOAD_SOURCE")["contexts"][0]
    assert ("FAILED", "YAML_FILE_ERROR") == (build["buildStatus"], context["statusCode"])
    assert "reports is not part of the local cloud" in context["message"]


@pytest.mark.parametrize("version", ["2.7", "3.99", "latest"])
def test_a_python_that_is_not_here_is_named(site, version):
    phases = {"install": {"runtime-versions": {"python": version}, "commands": ["python --version"]}}

    build = site.build(json.dumps({"version": "0.2", "phases": phases}, indent=1))

    assert (
        f"python {version} is not on this machine"
        in phase(build, "DOWNLOAD_SOURCE")["contexts"][0]["message"]
    )


def test_a_role_that_does_not_trust_codebuild_is_a_reason(site, role, cloud):
    site.project(spec("true"))
    build = site.wait(site.start(serviceRoleOverride=role(cloud, [LOGS], "lambda.amazonaws.com")))

    context = phase(build, "PROVISIONING")["contexts"][0]
    assert ("FAILED", "ACCESS_DENIED") == (build["buildStatus"], context["statusCode"])
    assert "codebuild.amazonaws.com" in context["message"]


def test_a_role_that_may_not_write_logs_still_builds(site):
    assert "SUCCEEDED" == site.build(spec("echo x"), statements=[])["buildStatus"]


def test_builds_run_side_by_side(site):
    site.project(spec("sleep 1"))
    builds = [site.wait(each) for each in [site.start() for _ in range(3)]]

    assert ["SUCCEEDED"] * 3 == [each["buildStatus"] for each in builds]
    assert [1, 2, 3] == [each["buildNumber"] for each in builds]
    assert max(each["startTime"] for each in builds) < min(each["endTime"] for each in builds)
    assert [each["id"] for each in builds][::-1] == site.builds.list_builds_for_project(
        projectName=site.name
    )["ids"]


@pytest.mark.parametrize(
    ("project", "problem"),
    [
        ({"environment": {"image": "python:3.11"}}, "environment.image: python:3.11 cannot be run"),
        ({"environment": {"type": "WINDOWS_SERVER_2019_CONTAINER"}}, "environment.type: WINDOWS"),
        ({"environment": {"certificate": "b/k"}}, "environment.certificate is not part"),
        ({"source": {"type": "GITHUB", "location": "https://x"}}, "source.type: GITHUB is not part"),
        ({"source": {"buildspec": "a.yml"}}, "needs its buildspec inline"),
        ({"source": {"type": "S3"}}, "type S3 needs a location"),
        ({"source": {"type": "CODEPIPELINE"}}, "both be of type CODEPIPELINE"),
        ({"artifacts": {"type": "S3", "location": "b"}}, "need a location and a name"),
        ({"vpcConfig": {"vpcId": "vpc-1"}}, "vpcConfig is not part of the local cloud"),
        ({"badgeEnabled": True}, "badgeEnabled is not part of the local cloud"),
        ({"cache": {"type": "S3", "location": "b"}}, "cache.location is not part|cache.type: S3 is not part"),
        ({"cache": {"type": "LOCAL", "modes": ["LOCAL_CUSTOM_CACHE"]}}, "LOCAL_CUSTOM_CACHE is not part"),
        ({"logsConfig": {"s3Logs": {"status": "ENABLED", "location": "b"}}}, "logsConfig.s3Logs is not part"),
        (
            {"environment": {"environmentVariables": [{"name": "CODEBUILD_X", "value": ""}]}},
            "CodeBuild's own",
        ),
    ],
)
def test_what_the_local_cloud_lacks_is_refused_by_name(site, project, problem):
    with pytest.raises(ClientError, match=problem):
        site.project(spec("true"), **project)


def test_overrides_that_are_not_read_are_refused_by_name(site):
    site.project(spec("true"))

    with pytest.raises(ClientError, match="fleetOverride is not part of the local cloud"):
        site.start(fleetOverride={"fleetArn": "arn:aws:codebuild:x"})


def test_a_project_and_a_build_that_are_not_there(site):
    with pytest.raises(site.builds.exceptions.ResourceNotFoundException):
        site.start()
    with pytest.raises(site.builds.exceptions.ResourceNotFoundException):
        site.builds.stop_build(id=f"{site.name}:x")
    assert [f"{site.name}:x"] == site.builds.batch_get_builds(ids=[f"{site.name}:x"])["buildsNotFound"]
    assert [site.name] == site.builds.batch_get_projects(names=[site.name])["projectsNotFound"]


def test_a_project_is_changed_listed_and_deleted(site):
    site.project(spec("true"))
    with pytest.raises(site.builds.exceptions.ResourceAlreadyExistsException):
        site.project(spec("true"))

    changed = site.builds.update_project(name=site.name, description="new")["project"]

    assert "new" == changed["description"]
    assert spec("true") == changed["source"]["buildspec"]
    assert site.name in site.builds.list_projects()["projects"]
    site.builds.delete_project(name=site.name)
    assert site.name not in site.builds.list_projects()["projects"]
