"""The registry in front of which ECR stands: logins, permissions, tags, and what the registry keeps."""

import base64
import hashlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from registry_world import BYTES, CONFIG, INDEX, RegistryWorld, digest, manifest, until

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = RegistryWorld(tmp_path_factory.mktemp("home"))
    yield world
    world.close()


@pytest.fixture
def small(world, unique):
    """A repository of the test's own."""
    world.repository(unique)
    return unique


def problem(answer):
    """Return the status, the protocol's code and the message of a refusal."""
    (error,) = answer.json()["errors"]
    return answer.status_code, error["code"], error["message"]


def test_who_has_no_password_is_asked_for_one(world):
    answer = world.http.get("/v2/", auth=None)

    assert (401, "UNAUTHORIZED") == problem(answer)[:2]
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("header", ["Basic !", "Basic AAAA", "Bearer x", "Basic", ""])
def test_what_is_no_login_opens_nothing(world, header):
    assert 401 == world.http.get("/v2/", auth=None, headers={"Authorization": header}).status_code


@pytest.mark.parametrize(("user", "wrong"), [("AWS", "wrong"), ("AWS", ""), ("root", None)])
def test_a_wrong_password_or_user_is_refused(world, user, wrong):
    with world.client(world.password() if wrong is None else wrong, user) as client:
        assert (401, "UNAUTHORIZED") == problem(client.get("/v2/"))[:2]


def test_a_password_that_is_over_says_so(world):
    password = world.password()
    for file in (world.cloud.home / "images" / "tokens").iterdir():
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, "expires": time.time() - 1}))

    with world.client(password) as client:
        refused = client.get("/v2/")
    world.http.auth = world.client(world.password()).auth

    assert (403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.") == problem(
        refused
    )


def test_an_image_comes_back_as_it_was_pushed_by_tag_and_by_digest(world, small):
    pushed = world.push(small, "v1", "one")

    for reference in ("v1", pushed):
        got = world.http.get(f"/v2/{small}/manifests/{reference}")
        assert manifest(CONFIG, b"one") == got.content
        assert pushed == got.headers["docker-content-digest"]
    assert b"one" == world.http.get(f"/v2/{small}/blobs/{digest(b'one')}").content
    (shown,) = world.call("DescribeImages", repositoryName=small)["imageDetails"]
    assert (pushed, ["v1"], len(CONFIG) + 3) == (
        shown["imageDigest"],
        shown["imageTags"],
        shown["imageSizeInBytes"],
    )


def test_the_head_of_a_manifest_has_no_body(world, small):
    pushed = world.push(small, "v1", "one")

    head = world.http.head(f"/v2/{small}/manifests/v1")

    assert (200, pushed, b"") == (head.status_code, head.headers["docker-content-digest"], head.content)
    assert str(len(manifest(CONFIG, b"one"))) == head.headers["content-length"]


def test_an_image_that_is_not_there_is_unknown(world, small):
    assert (404, "MANIFEST_UNKNOWN") == problem(world.http.get(f"/v2/{small}/manifests/v9"))[:2]


def test_an_immutable_tag_is_refused_before_the_registry_sees_the_image(world, unique):
    world.repository(unique, "IMMUTABLE")
    first = world.push(unique, "v1", "one")
    world.upload(unique, b"two")

    refused = world.put(unique, "v1", manifest(CONFIG, b"two"))

    message = (
        f"The image tag 'v1' already exists in the '{unique}' repository and cannot be overwritten because"
        " the tag is immutable."
    )
    assert (400, "TAG_INVALID", message) == problem(refused)
    assert {first: ["v1"]} == world.images(unique)
    assert digest(manifest(CONFIG, b"two")) not in world.stored_manifests()


def test_the_same_image_may_be_pushed_again_under_its_immutable_tag(world, unique):
    world.repository(unique, "IMMUTABLE")

    assert world.push(unique, "v1", "one") == world.push(unique, "v1", "one")


def test_a_mutable_tag_moves_and_the_old_image_stays(world, small):
    first, second = world.push(small, "v1", "one"), world.push(small, "v1", "two")

    assert {first: [], second: ["v1"]} == world.images(small)
    assert second == world.http.head(f"/v2/{small}/manifests/v1").headers["docker-content-digest"]


def test_of_many_pushes_to_one_immutable_tag_one_wins(world, unique):
    world.repository(unique, "IMMUTABLE")
    texts = [f"text {number}" for number in range(8)]
    for text in [*texts, CONFIG.decode()]:
        world.upload(unique, text.encode())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: world.put(unique, "v1", manifest(CONFIG, text.encode())), texts))

    assert [201, *[400] * 7] == sorted(each.status_code for each in answers)
    (winner,) = [each.headers["docker-content-digest"] for each in answers if each.status_code == 201]
    assert {winner: ["v1"]} == world.images(unique)
    losers = {digest(manifest(CONFIG, text.encode())) for text in texts} - {winner}
    assert set() == losers & world.stored_manifests()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "blobs/uploads/"),
        ("GET", "manifests/v1"),
        ("PUT", "manifests/v1"),
        ("GET", "tags/list"),
        ("GET", f"blobs/sha256:{'0' * 64}"),
    ],
)
def test_a_repository_that_is_not_there_is_named(world, method, path):
    message = "The repository with name 'no/such' does not exist in the registry with id '000000000000'"

    assert (404, "NAME_UNKNOWN", message) == problem(world.http.request(method, f"/v2/no/such/{path}"))


NO_BLOB, NO_UPLOAD = f"sha256:{'0' * 64}", "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("action", "method", "path"),
    [
        ("InitiateLayerUpload", "POST", "blobs/uploads/"),
        ("UploadLayerPart", "PATCH", f"blobs/uploads/{NO_UPLOAD}"),
        ("CompleteLayerUpload", "PUT", f"blobs/uploads/{NO_UPLOAD}"),
        ("BatchCheckLayerAvailability", "HEAD", f"blobs/{NO_BLOB}"),
        ("GetDownloadUrlForLayer", "GET", f"blobs/{NO_BLOB}"),
        ("PutImage", "PUT", "manifests/v1"),
        ("BatchGetImage", "GET", "manifests/v1"),
        ("BatchGetImage", "HEAD", "manifests/v1"),
        ("ListImages", "GET", "tags/list"),
    ],
)
def test_each_step_needs_its_permission_on_the_repository(world, small, action, method, path):
    world.identity.denied = {f"ecr:{action}"}
    try:
        refused = world.http.request(method, f"/v2/{small}/{path}")
    finally:
        world.identity.denied = set()

    assert 403 == refused.status_code
    if method != "HEAD":
        assert "DENIED" == problem(refused)[1]
        assert f"is not authorized to perform: ecr:{action} on resource: arn:aws:ecr:" in problem(refused)[2]
        assert problem(refused)[2].endswith(f":repository/{small}")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/_catalog", 404),
        ("GET", "/v2/small/blobs/sha256:short", 404),
        ("GET", "/v2/small//manifests/v1", 404),
        ("GET", "/v2/small/%2e%2e/other/manifests/v1", 404),
        ("GET", "/v2/UPPER/manifests/v1", 404),
        ("DELETE", "/v2/small/manifests/v1", 405),
        ("DELETE", f"/v2/small/blobs/{NO_BLOB}", 405),
        ("POST", "/v2/small/manifests/v1", 405),
    ],
)
def test_what_ecr_does_not_do_is_refused(world, method, path, status):
    answer = world.http.build_request(method, "/")
    answer.url = answer.url.copy_with(raw_path=path.encode())

    assert (status, "UNSUPPORTED") == problem(world.http.send(answer))[:2]


def test_an_image_whose_layers_are_missing_is_not_registered(world, small):
    world.upload(small, CONFIG)

    refused = world.put(small, "v1", manifest(CONFIG, b"never uploaded"))

    assert (404, "MANIFEST_BLOB_UNKNOWN") == problem(refused)[:2]
    assert {} == world.images(small)
    assert digest(manifest(CONFIG, b"never uploaded")) not in world.stored_manifests()


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b"\xff\xfe", b'{"config": 1}'])
def test_what_is_no_manifest_is_refused(world, small, body):
    assert (400, "MANIFEST_INVALID") == problem(world.put(small, "v1", body))[:2]


def test_bytes_that_are_no_text_are_refused_and_not_kept_as_other_bytes(world, small):
    body = manifest(CONFIG).replace(b'"schemaVersion"', b'"note": "\xff", "schemaVersion"')

    assert (400, "MANIFEST_INVALID") == problem(world.put(small, "v1", body))[:2]


def test_a_manifest_under_another_digest_is_refused(world, small):
    world.push(small, "v1", "one")

    refused = world.put(small, f"sha256:{'0' * 64}", manifest(CONFIG, b"one"))

    assert (400, "DIGEST_INVALID") == problem(refused)[:2]


def test_a_manifest_of_megabytes_is_refused(world, small):
    assert 413 == world.put(small, "v1", b" " * (4 * 1024 * 1024 + 1)).status_code


def test_a_layer_of_another_digest_is_refused(world, small):
    refused = world.upload(small, b"body", claimed=digest(b"other"))

    assert (400, "DIGEST_INVALID") == problem(refused)[:2]
    assert 404 == world.http.head(f"/v2/{small}/blobs/{digest(b'other')}").status_code


def test_a_layer_of_another_repository_is_neither_there_nor_mounted(world, small, unique):
    other = f"{unique}/other"
    world.repository(other)
    world.upload(small, b"secret")

    mounted = world.http.post(
        f"/v2/{other}/blobs/uploads/", params={"mount": digest(b"secret"), "from": small}
    )

    assert 202 == mounted.status_code
    assert 404 == world.http.get(f"/v2/{other}/blobs/{digest(b'secret')}").status_code


def test_tags_come_in_pages(world, small):
    for tag in ("a", "b", "c"):
        world.push(small, tag, "one")

    first = world.http.get(f"/v2/{small}/tags/list", params={"n": 2})
    second = world.http.get(first.links["next"]["url"])

    assert [["a", "b"], ["c"]] == [each.json()["tags"] for each in (first, second)]
    assert "link" not in second.headers


def test_a_deleted_image_is_gone_from_the_registry_too(world, small):
    first, second = world.push(small, "v1", "one"), world.push(small, "v2", "two")
    assert 200 == world.stored(f"/v2/{small}/manifests/{first}")

    world.call("BatchDeleteImage", repositoryName=small, imageIds=[{"imageTag": "v1"}])

    assert {second: ["v2"]} == world.images(small)
    assert 404 == world.http.get(f"/v2/{small}/manifests/{first}").status_code
    assert 404 == world.stored(f"/v2/{small}/manifests/{first}")
    assert 200 == world.stored(f"/v2/{small}/manifests/{second}")


def test_an_image_that_expires_is_gone_from_the_registry_too(world, small):
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
    rules = [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]
    policy = json.dumps({"rules": rules})
    world.call("PutLifecyclePolicy", repositoryName=small, lifecyclePolicyText=policy.ljust(100))

    first, second = world.push(small, "v1", "one"), world.push(small, "v2", "two")

    assert {second: ["v2"]} == world.images(small)
    assert 404 == world.stored(f"/v2/{small}/manifests/{first}")


def test_a_deleted_repository_leaves_nothing_to_a_new_one_of_its_name(world, small):
    inner = f"{small}/inner"
    world.repository(inner)
    pushed, kept = world.push(small, "v1", "one"), world.push(inner, "v1", "inner")

    world.call("DeleteRepository", repositoryName=small, force=True)
    world.repository(small)

    assert {} == world.images(small)
    assert 404 == world.stored(f"/v2/{small}/manifests/{pushed}")
    assert 404 == world.http.head(f"/v2/{small}/blobs/{digest(b'one')}").status_code
    assert 200 == world.http.get(f"/v2/{inner}/manifests/{kept}").status_code


def test_an_image_put_through_ecrs_api_is_pulled_as_any_other(world, small):
    for body in (CONFIG, b"by the api"):
        upload = world.call("InitiateLayerUpload", repositoryName=small)["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(body) - 1, "uploadId": upload}
        blob = base64.b64encode(body).decode()
        world.call("UploadLayerPart", repositoryName=small, layerPartBlob=blob, **part)
        world.call("CompleteLayerUpload", repositoryName=small, uploadId=upload, layerDigests=[digest(body)])
    text = manifest(CONFIG, b"by the api").decode()
    world.call("PutImage", repositoryName=small, imageManifest=text, imageTag="v1")

    assert text == world.http.get(f"/v2/{small}/manifests/v1").text
    assert b"by the api" == world.http.get(f"/v2/{small}/blobs/{digest(b'by the api')}").content
    (got,) = world.call("BatchGetImage", repositoryName=small, imageIds=[{"imageTag": "v1"}])["images"]
    assert text == got["imageManifest"]


def index(*digests):
    manifests = [{"mediaType": "m", "size": 1, "digest": each} for each in digests]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()


def test_an_index_is_kept_with_its_images(world, small):
    image = world.push(small, digest(manifest(CONFIG, b"one")), "one")

    pushed = world.put(small, "v1", index(image), INDEX)

    whole = digest(index(image))
    assert (201, whole) == (pushed.status_code, pushed.headers["docker-content-digest"])
    assert {image: [], whole: ["v1"]} == world.images(small)
    failed = world.call("BatchDeleteImage", repositoryName=small, imageIds=[{"imageDigest": image}])
    assert ["ImageReferencedByManifestList"] == [each["failureCode"] for each in failed["failures"]]
    both = [{"imageDigest": whole}, {"imageDigest": image}]
    assert [] == world.call("BatchDeleteImage", repositoryName=small, imageIds=both)["failures"]
    assert {} == world.images(small)


def test_an_index_without_its_images_is_refused(world, small):
    refused = world.put(small, "v1", index(f"sha256:{'0' * 64}"), INDEX)

    assert (404, "MANIFEST_BLOB_UNKNOWN") == problem(refused)[:2]


def test_eventbridge_hears_of_a_push_and_a_deletion(world, small):
    pushed = world.push(small, "v1", "one")
    world.call("BatchDeleteImage", repositoryName=small, imageIds=[{"imageTag": "v1"}])

    heard = [
        (each["detail"]["action-type"], each["detail"]["image-digest"], each["detail"]["image-tag"])
        for each in world.cloud.events.published
        if each["detail"]["repository-name"] == small
    ]
    assert [("PUSH", pushed, "v1"), ("DELETE", pushed, "v1")] == heard


def half(body, go_on):
    """Yield a body whose second half waits."""
    yield body[: len(body) // 2]
    go_on.wait(20)
    yield body[len(body) // 2 :]


def arrived(world, name):
    """Say whether a part of a layer has reached the registry's disk."""
    return any(
        each.stat().st_size for each in world.cloud.home.glob(f"registry/data/**/{name}/_uploads/*/data")
    )


def kill(world):
    """Kill the registry behind the front with SIGKILL; return when another one runs."""
    pid = world.distribution.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: world.distribution.pid != pid)


def test_a_registry_killed_in_the_middle_of_a_push_ends_it_with_a_reason_and_comes_back(world, small):
    body, go_on = b"x" * 8_000_000, threading.Event()
    opened = world.http.post(f"/v2/{small}/blobs/uploads/").headers["location"]

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(world.http.patch, opened, content=half(body, go_on), headers=BYTES)
        until(lambda: arrived(world, small))
        kill(world)
        go_on.set()
        answer = sending.result()

    assert (503, "UNAVAILABLE") == problem(answer)[:2]
    assert "try again" in problem(answer)[2]
    assert {} == world.images(small)
    assert world.push(small, "v1", "one") in world.images(small)


def test_a_registry_killed_in_the_middle_of_a_pull_does_not_end_it_as_if_it_were_whole(world, small):
    body = b"y" * 30_000_000
    world.upload(small, body)

    with (
        pytest.raises(httpx.RemoteProtocolError),
        world.http.stream("GET", f"/v2/{small}/blobs/{digest(body)}") as answer,
    ):
        received = answer.iter_bytes()
        next(received)
        kill(world)
        assert len(body) == sum(len(each) for each in received)
    assert body == world.http.get(f"/v2/{small}/blobs/{digest(body)}").content


def test_a_client_that_goes_away_leaves_no_layer(world, small):
    body, _reached, _go_on = b"z" * 4_000_000, threading.Event(), threading.Event()
    opened = world.http.post(f"/v2/{small}/blobs/uploads/").headers["location"]

    def broken():
        yield body
        raise ConnectionError("the client's network is gone")

    with pytest.raises(ConnectionError):
        world.http.patch(opened, content=broken(), headers=BYTES)

    assert 404 == world.http.head(f"/v2/{small}/blobs/{digest(body)}").status_code
    assert 201 == world.upload(small, body).status_code


MEBIBYTE = 1 << 20


def peak():
    """The most memory that this process has held since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def test_a_layer_of_a_hundred_megabytes_passes_in_little_memory(world, small):
    part, parts = os.urandom(MEBIBYTE), 100
    whole = hashlib.sha256()
    for _ in range(parts):
        whole.update(part)
    before = forget_peak()

    pushed = world.upload(small, (part for _ in range(parts)), f"sha256:{whole.hexdigest()}")
    pulled = hashlib.sha256()
    with world.http.stream("GET", f"/v2/{small}/blobs/sha256:{whole.hexdigest()}") as answer:
        for each in answer.iter_raw(MEBIBYTE):
            pulled.update(each)

    assert (201, whole.digest()) == (pushed.status_code, pulled.digest())
    assert peak() - before < 40 * MEBIBYTE


@pytest.mark.parametrize("wrong", ["sha256:two words", "sha256:../../../etc", "sha256:a?b#c", "sha256:1"])
def test_what_is_no_digest_names_no_layer(world, small, wrong):
    asked = world.call("BatchCheckLayerAvailability", repositoryName=small, layerDigests=[wrong])

    assert [(wrong, "UNAVAILABLE")] == [
        (each["layerDigest"], each["layerAvailability"]) for each in asked["layers"]
    ]
