"""ECR in a running cloud, through boto3 and the `docker` command."""

from small_images import push


def test_a_pushed_image_is_found_by_digest_and_tag(cloud, unique):
    uri = push(cloud, unique, {"hello.py": "print('hello')"}, ["python", "hello.py"], tag="v1")

    found = cloud.client("ecr").describe_images(repositoryName=unique, imageIds=[{"imageTag": "v1"}])

    assert [uri.partition("@")[2]] == [each["imageDigest"] for each in found["imageDetails"]]
