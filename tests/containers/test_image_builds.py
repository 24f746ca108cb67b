"""One buildspec and one Dockerfile for both worlds: images that CodeBuild builds with each engine."""

import io
import json
import re
import shutil
import subprocess
import tempfile
import time
import uuid
import zipfile
from pathlib import Path

import pytest
from conftest import start_cloud

from atelier.cloud.gateway import launch

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("images/training/publish.py", "images/training/choose_lock.py")
DOCKERFILE = """\
ARG BASE_IMAGE=public.ecr.aws/docker/library/python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
LABEL site=SITE
WORKDIR /opt/program
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
ARG BASE_IMAGE
LABEL kind="small image" \\
      base="${BASE_IMAGE}"
ENTRYPOINT ["python", "app.py"]
COPY app.py .
"""
SPEC = """\
version: 0.2
env:
  shell: bash
  exported-variables: [IMAGE_DIGEST]
phases:
  pre_build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin "${RepositoryUri%%/*}"
  build:
    commands:
      - IMAGE_DIGEST=$(python images/training/publish.py app "$RepositoryUri" "$TAG")
      - export IMAGE_DIGEST
"""
MAY = ["logs:*", "s3:GetObject", "s3:GetObjectVersion", "ecr:*"]
WITH_DOCKER = pytest.param("docker", marks=pytest.mark.docker)
DOCKER = pytest.mark.parametrize("site", [WITH_DOCKER], indirect=True)


def lock():
    """A lock of one small package."""
    text = (ROOT / "requirements/runtime.lock").read_text()
    return re.search(r"^idna==(?:.*\\\n)*.*\n", text, re.MULTILINE)[0]


class Site:
    """A cloud with a project that builds the image of a folder, and its repository."""

    def __init__(self, engine):
        self.engine, self.home = engine, Path(tempfile.mkdtemp(prefix="atelier-"))
        self.dockerfile = DOCKERFILE.replace("SITE", self.home.name)  # no layer comes from another run
        self.cloud = start_cloud(self.home, engine)
        self.builds, self.ecr = self.cloud.client("codebuild"), self.cloud.client("ecr")
        self.cloud.client("s3").create_bucket(Bucket="sources")
        made = self.ecr.create_repository(repositoryName="app", imageTagMutability="IMMUTABLE")
        self.uri = made["repository"]["repositoryUri"]
        self.builds.create_project(
            name="app",
            source={"type": "S3", "location": "sources/app.zip"},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
                "privilegedMode": True,
                "environmentVariables": [{"name": "RepositoryUri", "value": self.uri}],
            },
            serviceRole=self._role(),
        )

    def _role(self):
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "codebuild.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        iam, statement = self.cloud.client("iam"), {"Effect": "Allow", "Action": MAY, "Resource": "*"}
        made = iam.create_role(RoleName="b", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
        iam.put_role_policy(
            RoleName="b", PolicyName="b", PolicyDocument=json.dumps({"Statement": [statement]})
        )
        return made["Role"]["Arn"]

    def start(self, tag, app="print('hello')\n", dockerfile=None):
        """Start a build of these files; return its id."""
        files = {each: (ROOT / each).read_text() for each in SCRIPTS}
        files |= {
            "app/app.py": app,
            "app/Dockerfile": dockerfile or self.dockerfile,
            "app/requirements.lock": lock(),
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in {**files, "buildspec.yml": SPEC}.items():
                archive.writestr(name, text)
        self.cloud.client("s3").put_object(Bucket="sources", Key="app.zip", Body=buffer.getvalue())
        variables = [{"name": "TAG", "value": tag}]
        return self.builds.start_build(projectName="app", environmentVariablesOverride=variables)["build"][
            "id"
        ]

    def show(self, build):
        return self.builds.batch_get_builds(ids=[build])["builds"][0]

    def build(self, tag, **files):
        """Build to the end; return the digest that it exported (None if it failed) and its log."""
        build = self.start(tag, **files)
        deadline = time.monotonic() + 240
        while not (shown := self.show(build))["buildComplete"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        exported = {each["name"]: each["value"] for each in shown["exportedEnvironmentVariables"]}
        digest = exported["IMAGE_DIGEST"] if shown["buildStatus"] == "SUCCEEDED" else None
        return digest, self.log(shown)

    def log(self, shown):
        logs, place = self.cloud.client("logs"), shown["logs"]
        found = logs.get_log_events(
            logGroupName=place["groupName"], logStreamName=place["streamName"], startFromHead=True
        )
        return "\n".join(each["message"] for each in found["events"])

    def tags(self):
        """The tags behind every digest that ECR knows."""
        images = self.ecr.describe_images(repositoryName="app")["imageDetails"]
        return {each["imageDigest"]: each.get("imageTags", []) for each in images}

    def forget(self):
        """Remove what this site's builds left in the engine."""
        if self.engine == "docker":
            listed = docker("images", "--quiet", "--filter", f"reference={self.uri}")
            if listed:
                docker("rmi", "--force", *set(listed.split()))

    def close(self):
        self.forget()
        launch.stop(self.home)
        shutil.rmtree(self.home, ignore_errors=True)


def docker(*words):
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module", params=["process", WITH_DOCKER])
def site(request):
    site = Site(request.param)
    yield site
    site.close()


@pytest.fixture(scope="module")
def first(site):
    """The digest of a first image, built with everything that it needs."""
    digest, log = site.build("first")
    assert digest, log
    return digest


def test_an_image_is_built_from_its_files_and_pushed_under_its_tag(site, first):
    assert "first" in site.tags()[first]


def test_the_same_files_are_the_same_image_whatever_the_tag(site, first):
    digest, log = site.build("second")

    assert first == digest
    assert "Step " not in log
    assert {"first", "second"} < set(site.tags()[first])


def test_a_change_of_the_code_installs_nothing_again(site, first):
    digest, log = site.build("changed", app="print('hello again')\n")

    assert digest not in (None, first)
    assert "Using cache" in log
    assert "Downloading" not in log


@pytest.mark.parametrize(
    ("dockerfile", "reason"),
    [
        (DOCKERFILE + "COPY missing .\n", "missing"),
        (DOCKERFILE.replace("-r requirements.lock", "-r nothing.lock"), "nothing.lock"),
        ("FROM localhost:1/no/such:image\n", "localhost:1/no/such:image"),
    ],
    ids=["no file", "no lock", "no base image"],
)
def test_an_image_that_cannot_be_built_fails_with_the_reason_and_leaves_nothing(
    site, first, dockerfile, reason
):
    before = site.tags()

    digest, log = site.build("never", dockerfile=dockerfile)

    assert digest is None
    assert "docker build ended with 1" in log
    assert reason in log.partition("publish.py app")[2]
    assert before == site.tags()


@DOCKER
def test_the_image_runs_and_says_what_it_is(site, first):
    image = f"{site.uri}@{first}"
    labels = json.loads(docker("inspect", "--format", "{{json .Config.Labels}}", image))

    assert "hello" == docker("run", "--rm", "--network", "none", image).strip()
    assert "public.ecr.aws/docker/library/python:3.11-slim-bookworm" == labels["base"]
    assert labels["org.opencontainers.image.version"] in site.tags()[first]


@DOCKER
def test_a_change_of_the_code_adds_one_layer_to_those_that_are_there(site, first):
    before = layers(f"{site.uri}@{first}")

    digest, _ = site.build("layered", app="print('one layer')\n")

    after = layers(f"{site.uri}@{digest}")
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


@DOCKER
def test_a_machine_that_has_built_nothing_takes_the_newest_image_as_its_cache(site, first):
    site.forget()

    digest, log = site.build("elsewhere", app="print('elsewhere')\n")

    assert digest not in (None, first)
    assert "Using cache" in log
    assert "Downloading" not in log


@DOCKER
def test_a_stopped_build_leaves_nothing_running_in_the_engine(site, first):
    mark = f"stopped-{uuid.uuid4().hex}"
    sleep = f'RUN ["python", "-c", "import time; time.sleep(300)", "{mark}"]\n'
    build = site.start("stopped", dockerfile=site.dockerfile + sleep)
    until(lambda: mark in running())

    site.builds.stop_build(id=build)

    until(lambda: mark not in running())
    assert not any("stopped" in each for each in site.tags().values())


@DOCKER
def test_a_build_that_fails_leaves_no_container(site, first):
    digest, _ = site.build("never", dockerfile=site.dockerfile + "RUN exit 7\n")

    assert digest is None
    assert "" == docker("ps", "--all", "--quiet", "--filter", f"label=site={site.home.name}")


def layers(image):
    return json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", image))


def running():
    return docker("ps", "--no-trunc", "--format", "{{.Command}}")


def until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
