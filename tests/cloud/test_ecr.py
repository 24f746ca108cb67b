"""ECR: layers verified, tags that do not move, images found by digest and tag."""

import base64
import hashlib
import json

import pytest
from fakes import FakeIdentity, fake_cloud

from atelier.cloud.engines.images import ImageStore
from atelier.cloud.engines.registry import Tokens
from atelier.cloud.services.ecr.plugin import PLUGIN, start
from atelier.cloud.services.wire import ServiceError

URI = "000000000000.dkr.ecr.us-east-1.amazonaws.com/small"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def cloud(tmp_path):
    cloud = fake_cloud(tmp_path)
    yield cloud
    cloud.store.close()


@pytest.fixture
def ecr(cloud):
    """Call an operation on the repository `small`, which there is."""

    def call(name, **request):
        return PLUGIN.service.call(cloud, name, {"repositoryName": "small", **request})

    call("CreateRepository")
    return call


def digest(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def upload(ecr, body, claimed=None):
    upload = ecr("InitiateLayerUpload")["uploadId"]
    part = {"partFirstByte": 0, "partLastByte": len(body) - 1, "uploadId": upload}
    ecr("UploadLayerPart", layerPartBlob=base64.b64encode(body).decode(), **part)
    return ecr("CompleteLayerUpload", uploadId=upload, layerDigests=[claimed or digest(body)])["layerDigest"]


def manifest(*bodies):
    config, *layers = [{"mediaType": "t", "size": len(each), "digest": digest(each)} for each in bodies]
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})


def put(ecr, text, tag=None):
    """Upload what the text needs, put an image of it, and return its digest."""
    bodies = (b'{"config":1}', text.encode())
    for each in bodies:
        state = ecr("BatchCheckLayerAvailability", layerDigests=[digest(each)])["layers"][0]
        if state["layerAvailability"] == "UNAVAILABLE":
            upload(ecr, each)
    tagged = {} if tag is None else {"imageTag": tag}
    return ecr("PutImage", imageManifest=manifest(*bodies), **tagged)["image"]["imageId"]["imageDigest"]


def error(code):
    return pytest.raises(ServiceError, match=r".", check=lambda raised: raised.code == code)


def test_a_repository_is_shown_with_its_uri(ecr):
    (shown,) = ecr("DescribeRepositories", repositoryNames=["small"], **{"repositoryName": None})[
        "repositories"
    ]

    assert (URI, "arn:aws:ecr:us-east-1:000000000000:repository/small", "MUTABLE") == (
        shown["repositoryUri"],
        shown["repositoryArn"],
        shown["imageTagMutability"],
    )


def test_a_repository_is_made_once(ecr):
    with error("RepositoryAlreadyExistsException"):
        ecr("CreateRepository")


@pytest.mark.parametrize(
    "operation", ["DescribeImages", "ListImages", "DeleteRepository", "GetLifecyclePolicy"]
)
def test_a_repository_that_is_not_there_is_named(ecr, operation):
    with pytest.raises(ServiceError, match="The repository with name 'none' does not exist"):
        ecr(operation, repositoryName="none")


def test_the_registry_of_another_account_is_not_there(ecr):
    with error("RepositoryNotFoundException"):
        ecr("DescribeImages", registryId="111111111111")


def test_repositories_come_in_pages(ecr):
    for number in range(4):
        ecr("CreateRepository", repositoryName=f"more{number}")

    first = ecr("DescribeRepositories", repositoryName=None, maxResults=3)
    second = ecr("DescribeRepositories", repositoryName=None, maxResults=3, nextToken=first["nextToken"])

    names = [each["repositoryName"] for page in (first, second) for each in page["repositories"]]
    assert ["small", "more0", "more1", "more2", "more3"] == names
    assert "nextToken" not in second


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}, "IMMUTABLE_WITH_EXCLUSION is not part"),
        ({"encryptionConfiguration": {"encryptionType": "KMS"}}, "only AES256"),
    ],
)
def test_a_setting_that_would_not_be_done_is_refused(cloud, ecr, setting, problem):
    body = json.dumps({"repositoryName": "other", **setting}).encode()

    status, _, answer = PLUGIN.service.answer(cloud, "CreateRepository", body)

    assert 400 == status
    assert problem in json.loads(answer)["message"]


def test_an_operation_that_is_not_built_is_refused_by_name(ecr):
    with pytest.raises(ServiceError, match="SetRepositoryPolicy is not part of the local cloud"):
        ecr("SetRepositoryPolicy", policyText="{}")


def test_an_image_is_got_by_digest_and_by_tag_as_it_was_put(cloud, ecr):
    first = put(ecr, "one", "v1")

    by_tag = ecr("BatchGetImage", imageIds=[{"imageTag": "v1"}])["images"][0]
    by_digest = ecr("BatchGetImage", imageIds=[{"imageDigest": first}])["images"][0]

    assert first == by_tag["imageId"]["imageDigest"] == digest(by_digest["imageManifest"].encode())
    assert ImageStore(cloud.home).registry.get(URI, "v1") == first
    assert ImageStore(cloud.home).registry.get(URI, first) == first


def test_an_image_without_its_layers_is_refused(ecr):
    upload(ecr, b"config")

    with error("LayersNotFoundException"):
        ecr("PutImage", imageManifest=manifest(b"config", b"missing"), imageTag="v1")


def test_layers_of_another_repository_do_not_count(ecr):
    ecr("CreateRepository", repositoryName="other")
    put(ecr, "one", "v1")

    with error("LayersNotFoundException"):
        ecr("PutImage", repositoryName="other", imageManifest=manifest(b'{"config":1}', b"one"))


def test_an_immutable_tag_does_not_move(ecr):
    ecr("PutImageTagMutability", imageTagMutability="IMMUTABLE")
    first = put(ecr, "one", "v1")

    with pytest.raises(
        ServiceError, match=r"'v1' already exists .* cannot be overwritten because the tag is imm"
    ):
        put(ecr, "two", "v1")
    assert first == ecr("DescribeImages", imageIds=[{"imageTag": "v1"}])["imageDetails"][0]["imageDigest"]
    assert first == put(ecr, "one", "v2")


def test_a_mutable_tag_moves(cloud, ecr):
    first, second = put(ecr, "one", "v1"), put(ecr, "two", "v1")

    assert [(first, None), (second, ["v1"])] == [
        (each["imageDigest"], each.get("imageTags")) for each in ecr("DescribeImages")["imageDetails"]
    ]
    assert second == ImageStore(cloud.home).registry.get(URI, "v1")


def test_the_same_image_and_tag_are_there_already(ecr):
    put(ecr, "one", "v1")

    with error("ImageAlreadyExistsException"):
        put(ecr, "one", "v1")
    with error("ImageAlreadyExistsException"):
        put(ecr, "one")


def test_a_digest_that_does_not_fit_the_manifest_is_refused(ecr):
    put(ecr, "one", "v1")

    with error("ImageDigestDoesNotMatchException"):
        text = manifest(b'{"config":1}', b"one")
        ecr("PutImage", imageManifest=text, imageDigest=f"sha256:{'0' * 64}")


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"config": {}, "layers": []}', '"x"', '{"manifests": []}']
)
def test_what_is_no_manifest_of_one_image_is_refused(ecr, text):
    with error("InvalidParameterException"):
        ecr("PutImage", imageManifest=text)


def test_a_layer_of_another_content_than_claimed_is_refused(ecr):
    with error("InvalidLayerException"):
        upload(ecr, b"body", claimed=f"sha256:{'0' * 64}")


def test_a_layer_that_is_there_is_said_to_be(ecr):
    upload(ecr, b"body")

    with error("LayerAlreadyExistsException"):
        upload(ecr, b"body")


@pytest.mark.parametrize(("first", "last"), [(1, 4), (0, 9), (0, 2)])
def test_parts_that_do_not_follow_each_other_are_refused(ecr, first, last):
    opened = ecr("InitiateLayerUpload")["uploadId"]
    part = {"uploadId": opened, "partFirstByte": first, "partLastByte": last}

    with error("InvalidLayerPartException"):
        ecr("UploadLayerPart", layerPartBlob=base64.b64encode(b"body").decode(), **part)


def test_an_upload_of_nothing_is_refused(ecr):
    opened = ecr("InitiateLayerUpload")["uploadId"]

    with error("EmptyUploadException"):
        ecr("CompleteLayerUpload", uploadId=opened, layerDigests=[digest(b"")])


@pytest.mark.parametrize("upload_id", ["00000000-0000-0000-0000-000000000000", "../../../etc/passwd"])
def test_an_upload_that_was_not_opened_is_not_there(ecr, upload_id):
    with pytest.raises(ServiceError):
        ecr("CompleteLayerUpload", uploadId=upload_id, layerDigests=[digest(b"x")])


def test_images_are_listed_by_tag_and_without(ecr):
    first, second = put(ecr, "one", "v1"), put(ecr, "two")
    put(ecr, "one", "v2")

    tagged = ecr("ListImages", filter={"tagStatus": "TAGGED"})["imageIds"]
    untagged = ecr("ListImages", filter={"tagStatus": "UNTAGGED"})["imageIds"]

    assert [(first, "v1"), (first, "v2")] == [(each["imageDigest"], each["imageTag"]) for each in tagged]
    assert [{"imageDigest": second}] == untagged


def test_an_image_that_is_not_there_is_named(ecr):
    with pytest.raises(ServiceError, match="imageTag:'v9'} does not exist within the repository"):
        ecr("DescribeImages", imageIds=[{"imageTag": "v9"}])
    (failure,) = ecr("BatchGetImage", imageIds=[{"imageTag": "v9"}])["failures"]
    assert "ImageNotFound" == failure["failureCode"]


def test_an_image_goes_with_its_last_tag(cloud, ecr):
    first = put(ecr, "one", "v1")
    put(ecr, "one", "v2")

    ecr("BatchDeleteImage", imageIds=[{"imageTag": "v1"}])
    assert [["v2"]] == [each["imageTags"] for each in ecr("DescribeImages")["imageDetails"]]
    assert ImageStore(cloud.home).registry.get(URI, "v1") is None
    ecr("BatchDeleteImage", imageIds=[{"imageTag": "v2"}])

    assert [] == ecr("DescribeImages")["imageDetails"]
    assert ImageStore(cloud.home).registry.get(URI, first) is None


def test_a_full_repository_is_deleted_by_force_only(cloud, ecr):
    first = put(ecr, "one", "v1")

    with error("RepositoryNotEmptyException"):
        ecr("DeleteRepository")
    ecr("DeleteRepository", force=True)

    assert ImageStore(cloud.home).registry.get(URI, first) is None
    ecr("CreateRepository")
    with error("LayersNotFoundException"):
        ecr("PutImage", imageManifest=manifest(b'{"config":1}', b"one"))


def test_a_scan_that_did_not_happen_is_said_not_to_have(ecr):
    put(ecr, "one", "v1")
    assert "imageScanStatus" not in ecr("DescribeImages")["imageDetails"][0]

    ecr("PutImageScanningConfiguration", imageScanningConfiguration={"scanOnPush": True})

    status = ecr("DescribeImages")["imageDetails"][0]["imageScanStatus"]
    assert "UNSUPPORTED_IMAGE" == status["status"]
    found = ecr("DescribeImageScanFindings", imageId={"imageTag": "v1"})
    assert status == found["imageScanStatus"]


def test_a_password_is_good_for_docker_login(cloud, ecr):
    (given,) = ecr("GetAuthorizationToken", repositoryName=None)["authorizationData"]
    name, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")

    assert "AWS" == name
    assert Tokens(cloud.home).accepts(password, given["proxyEndpoint"].removeprefix("https://"))


def test_tags_of_a_repository_are_kept(ecr):
    arn = {"resourceArn": "arn:aws:ecr:us-east-1:000000000000:repository/small", "repositoryName": None}
    ecr("TagResource", tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}], **arn)
    ecr("UntagResource", tagKeys=["a"], **arn)

    assert [{"Key": "b", "Value": "2"}] == ecr("ListTagsForResource", **arn)["tags"]


def test_names_on_disk_follow_the_records_when_the_cloud_starts(cloud, ecr):
    first = put(ecr, "one", "v1")
    names = ImageStore(cloud.home).registry
    names.clear()
    names.put(URI, "stale", first)

    start(cloud)

    assert [(URI, first, first), (URI, "v1", first)] == list(names.all())


def test_a_caller_acts_on_the_repositories_that_it_may(tmp_path):
    denied = fake_cloud(tmp_path, identity=FakeIdentity(denied={"ecr:PutImage"}))
    PLUGIN.service.call(denied, "CreateRepository", {"repositoryName": "small"})

    with pytest.raises(ServiceError, match=r"ecr:PutImage on resource: arn:aws:ecr:.*:repository/small"):
        PLUGIN.service.call(denied, "PutImage", {"repositoryName": "small", "imageManifest": "{}"})
    denied.store.close()
