"""The registry before the plain docker command and Docker's SDK, with passwords from the real AWS CLI."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from conftest import RunningCloud
from docker.errors import APIError, ImageNotFound, NotFound
from registry_world import until

from atelier.cloud.gateway import launch

pytestmark = pytest.mark.docker

DOCKERFILE = "FROM scratch\nCOPY content /content\n"
PUSHING = (
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)
PULLING = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


@pytest.fixture(scope="module")
def cloud():
    """A cloud whose containers are Docker's."""
    home = Path(tempfile.mkdtemp(prefix="atelier-"))
    try:
        yield RunningCloud(home, launch.start(home, engine="docker"))
    finally:
        launch.stop(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def uri(cloud, unique):
    """A repository whose tags do not move."""
    made = cloud.client("ecr").create_repository(repositoryName=unique, imageTagMutability="IMMUTABLE")
    return made["repository"]["repositoryUri"]


@pytest.fixture
def images(uri, tmp_path):
    """Build images of the test's own under any names; they are gone from Docker at its end."""
    client = docker.from_env()
    made = set()

    def build(content, *names):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / "content").write_bytes(content)
        image, _ = client.images.build(path=str(folder), rm=True)
        made.add(image.id)
        for name in names:
            image.tag(*name.rsplit(":", 1))

    yield build
    for image in made:
        with contextlib.suppress(ImageNotFound):
            client.api.remove_image(image, force=True)
    client.close()


@pytest.fixture
def shell(cloud, role, tmp_path):
    """Run shell lines as a role that may do *actions*, logged in nowhere; return the process."""

    def run(script, *actions, credentials=None):
        key, secret, token = credentials or assumed(cloud, role, actions)
        if PASSWORD in script:
            given = password(cloud.client_as("ecr", key, secret, token or None))
            (tmp_path / "password").write_text(given["password"])
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "DOCKER_CONFIG": str(tmp_path / "docker"),
            "DOCKER_HOST": os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_DEFAULT_REGION": cloud.connection.region,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": token,
        }
        return subprocess.run(["sh", "-euc", script], env=environment, text=True, capture_output=True)

    return run


def assumed(cloud, role, actions):
    statements = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}] if actions else []
    arn = role(cloud, statements, {"AWS": "*"})
    given = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="build")["Credentials"]
    return given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]


PASSWORD = '<"$HOME/password"'
"""What `aws ecr get-login-password` would say, without the seconds that the AWS CLI takes to start."""


def login(uri):
    return f"docker login --username AWS --password-stdin {uri.partition('/')[0]} {PASSWORD}\n"


def password(ecr):
    """Return a user and a password as Docker's SDK takes them."""
    (given,) = ecr.get_authorization_token()["authorizationData"]
    user, _, text = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    return {"username": user, "password": text}


def digests(cloud, uri):
    """What ECR lists of a repository: digests by tag."""
    name = uri.partition("/")[2]
    found = cloud.client("ecr").describe_images(repositoryName=name)["imageDetails"]
    return {tag: each["imageDigest"] for each in found for tag in each.get("imageTags", [""])}


def test_an_image_is_pushed_by_tag_and_pulled_by_tag_and_by_the_digest_that_ecr_says(
    cloud, uri, images, shell
):
    images(b"one", f"{uri}:v1")
    host = uri.partition("/")[0]
    script = f"aws ecr get-login-password | docker login --username AWS --password-stdin {host}\n"

    pushed = shell(f"{script}docker push {uri}:v1", *PUSHING)

    assert 0 == pushed.returncode, pushed.stderr
    digest = digests(cloud, uri)["v1"]
    assert f"v1: digest: {digest} size:" in pushed.stdout
    script = f"{login(uri)}docker rmi {uri}:v1\ndocker pull {uri}@{digest}\ndocker pull {uri}:v1\n"
    script += f"docker inspect --format '{{{{index .RepoDigests 0}}}}' {uri}:v1"
    pulled = shell(script, *PULLING)
    assert 0 == pulled.returncode, pulled.stderr
    assert f"{uri}@{digest}" == pulled.stdout.splitlines()[-1]


def test_a_wrong_password_is_refused_at_login(uri, shell):
    host = uri.partition("/")[0]

    refused = shell(f"echo wrong | docker login --username AWS --password-stdin {host}", *PULLING)

    assert 1 == refused.returncode
    assert "401 Unauthorized" in refused.stderr


def test_a_push_without_login_is_refused(cloud, uri, images, shell):
    images(b"one", f"{uri}:v1")

    refused = shell(f"docker push {uri}:v1", *PUSHING)

    assert 1 == refused.returncode
    assert "no basic auth credentials" in refused.stderr
    assert {} == digests(cloud, uri)


def test_a_login_that_is_over_says_to_log_in_again(cloud, uri, images, shell):
    images(b"one", f"{uri}:v1")
    assert 0 == shell(login(uri), *PUSHING).returncode
    for file in (cloud.home / "images" / "tokens").iterdir():
        file.write_text(json.dumps({**json.loads(file.read_text()), "expires": time.time() - 1}))

    refused = shell(f"docker push {uri}:v1", *PUSHING)

    assert 1 == refused.returncode
    assert "denied: Your authorization token has expired. Reauthenticate and try again." in refused.stderr


@pytest.mark.parametrize("missing", ["ecr:PutImage", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart"])
def test_a_role_without_one_permission_cannot_push(cloud, uri, images, shell, missing):
    images(b"one", f"{uri}:v1")
    given = [each for each in PUSHING if each != missing]

    refused = shell(f"{login(uri)}docker push {uri}:v1", *given)

    assert 1 == refused.returncode
    assert "denied: User: arn:aws:sts::000000000000:assumed-role/" in refused.stderr
    assert f"is not authorized to perform: {missing} on resource: " in refused.stderr
    assert {} == digests(cloud, uri)


@pytest.mark.parametrize("missing", ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"])
def test_a_role_without_one_permission_cannot_pull(cloud, uri, images, shell, missing):
    images(b"one", f"{uri}:v1")
    assert 0 == shell(f"{login(uri)}docker push {uri}:v1\ndocker rmi -f {uri}:v1", *PUSHING).returncode
    given = [each for each in PULLING if each != missing]

    refused = shell(f"{login(uri)}docker pull {uri}:v1", *given)

    assert 1 == refused.returncode
    assert missing in refused.stderr


def test_a_tag_that_must_not_move_is_refused_in_ecrs_words(cloud, uri, images, shell):
    images(b"one", f"{uri}:v1")
    assert 0 == shell(f"{login(uri)}docker push {uri}:v1", *PUSHING).returncode
    first = digests(cloud, uri)
    images(b"two", f"{uri}:v1")

    refused = shell(f"docker push {uri}:v1", *PUSHING)

    name = uri.partition("/")[2]
    assert 1 == refused.returncode
    assert (
        f"tag invalid: The image tag 'v1' already exists in the '{name}' repository and cannot be overwritten"
        " because the tag is immutable."
    ) in refused.stderr
    assert first == digests(cloud, uri)


def test_the_same_image_may_be_pushed_again(uri, images, shell):
    images(b"one", f"{uri}:v1")

    twice = shell(f"{login(uri)}docker push {uri}:v1\ndocker push {uri}:v1", *PUSHING)

    assert 0 == twice.returncode, twice.stderr
    assert "Layer already exists" in twice.stdout


def test_a_repository_that_is_not_there_is_named(uri, images, shell):
    images(b"one", f"{uri}/none:v1")

    refused = shell(f"{login(uri)}docker push {uri}/none:v1", *PUSHING)

    assert 1 == refused.returncode
    name = uri.partition("/")[2]
    assert f"name unknown: The repository with name '{name}/none' does not exist" in refused.stderr


def test_a_deleted_image_cannot_be_pulled(cloud, uri, images, shell):
    images(b"one", f"{uri}:v1")
    assert 0 == shell(f"{login(uri)}docker push {uri}:v1", *PUSHING).returncode
    digest = digests(cloud, uri)["v1"]
    name = uri.partition("/")[2]
    cloud.client("ecr").batch_delete_image(repositoryName=name, imageIds=[{"imageDigest": digest}])

    refused = shell(f"{login(uri)}docker pull {uri}@{digest}", *PULLING)

    assert 1 == refused.returncode
    assert "manifest unknown: Requested image not found" in refused.stderr


def test_the_sdk_pushes_and_pulls(cloud, uri, images):
    images(b"sdk", f"{uri}:v1")
    client, auth = docker.from_env(), password(cloud.client("ecr"))
    try:
        said = list(client.images.push(uri, tag="v1", auth_config=auth, stream=True, decode=True))
        digest = digests(cloud, uri)["v1"]
        assert [digest] == [each["aux"]["Digest"] for each in said if "aux" in each]
        client.images.remove(f"{uri}:v1")

        pulled = client.images.pull(f"{uri}@{digest}", auth_config=auth)

        assert [f"{uri}@{digest}"] == pulled.attrs["RepoDigests"]
        with pytest.raises(NotFound, match="Requested image not found"):
            client.images.pull(uri, tag="v9", auth_config=auth)
        with pytest.raises(APIError, match=r"401 Unauthorized|not one of this registry"):
            client.images.pull(uri, tag="v1", auth_config={"username": "AWS", "password": "wrong"})
    finally:
        client.close()


def test_a_push_outlives_a_registry_that_is_killed_in_the_middle_of_it(cloud, uri, images, shell):
    images(os.urandom(30_000_000), f"{uri}:v1")
    name = uri.partition("/")[2]
    credentials = cloud.connection.access_key, cloud.connection.secret_key, ""

    def killed():
        """Kill the registry as soon as it has a part of the layer; return what is registered then."""
        until(lambda: list(cloud.home.glob(f"registry/data/**/{name}/_uploads/*/data")), patience=60)
        os.kill(json.loads((cloud.home / "registry" / "process.json").read_text())["pid"], signal.SIGKILL)
        return digests(cloud, uri)

    with ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(killed)
        pushed = shell(f"{login(uri)}docker push {uri}:v1", credentials=credentials)

    assert {} == meanwhile.result()
    assert 0 == pushed.returncode, pushed.stderr
    script = f"docker rmi {uri}:v1\ndocker pull {uri}@{digests(cloud, uri)['v1']}"
    assert 0 == shell(script, credentials=credentials).returncode
