"""ECR in a running cloud: what a buildspec does with it, and its CloudFormation type."""

import json
import os
import subprocess
import sys
import time

import pytest
from botocore.exceptions import ClientError
from small_images import push

CONTEXT = {"Dockerfile": 'FROM python:3.11\nCOPY a.py .\nENTRYPOINT ["python", "a.py"]\n', "a.py": "print(1)"}


@pytest.fixture
def build(cloud, role, tmp_path):
    """Run shell lines as a build of the cloud does, as a role that may do *actions*; return the process."""
    for name, text in CONTEXT.items():
        (tmp_path / name).write_text(text)

    def build(script, *actions):
        statements = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]
        arn = role(cloud, statements, {"AWS": "*"})
        assumed = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="build")["Credentials"]
        environment = {
            "PATH": f"{cloud.home / 'tools'}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_DEFAULT_REGION": cloud.connection.region,
            "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["SessionToken"],
        }
        return subprocess.run(
            ["sh", "-euc", script], env=environment, cwd=tmp_path, text=True, capture_output=True
        )

    return build


@pytest.fixture
def repository(cloud, unique):
    """A repository whose tags do not move."""
    ecr = cloud.client("ecr")
    return ecr.create_repository(repositoryName=unique, imageTagMutability="IMMUTABLE")["repository"]


LOGIN = """
{python} - <<'END' | docker login --username AWS --password-stdin {host}
import base64, boto3
data = boto3.client("ecr").get_authorization_token()["authorizationData"][0]
print(base64.b64decode(data["authorizationToken"]).decode().partition(":")[2])
END
"""
"""What `aws ecr get-login-password | docker login` does, without the second that the CLI takes to start."""

PUSHING = (
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)


def login(repository):
    return LOGIN.format(python=sys.executable, host=repository["repositoryUri"].partition("/")[0])


def test_a_build_logs_in_builds_and_pushes(cloud, build, repository):
    uri = repository["repositoryUri"]
    script = f"{login(repository)}docker build -t {uri}:v1 .\ndocker push {uri}:v1\n"
    script += f"docker inspect --format '{{{{index .RepoDigests 0}}}}' {uri}:v1\n"

    built = build(script, *PUSHING)

    assert (0, "") == (built.returncode, built.stderr)
    (found,) = cloud.client("ecr").describe_images(repositoryName=repository["repositoryName"])[
        "imageDetails"
    ]
    assert f"{uri}@{found['imageDigest']}" == built.stdout.splitlines()[-1]
    assert ["v1"] == found["imageTags"]


def test_a_push_without_login_is_refused(build, repository):
    uri = repository["repositoryUri"]

    refused = build(f"docker build -q -t {uri}:v1 .\ndocker push {uri}:v1", *PUSHING)

    assert 1 == refused.returncode
    assert "no basic auth credentials" in refused.stderr


def test_a_role_that_may_not_put_images_cannot_push(build, repository):
    uri = repository["repositoryUri"]
    script = f"{login(repository)}docker build -q -t {uri}:v1 .\ndocker push {uri}:v1"

    refused = build(script, *PUSHING[:-1])

    assert 1 == refused.returncode
    assert "AccessDenied" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_pushed_tag_cannot_be_overwritten_but_pushed_again(cloud, build, repository):
    uri = repository["repositoryUri"]
    push(cloud, repository["repositoryName"], {"b.py": ""}, ["python", "b.py"], tag="v1")
    script = f"{login(repository)}docker build -q -t {uri}:v1 -t {uri}:v2 .\n"

    refused = build(f"{script}docker push {uri}:v1", *PUSHING)
    twice = build(f"{script}docker push {uri}:v2\ndocker push {uri}:v2", *PUSHING)

    assert (1, 0) == (refused.returncode, twice.returncode)
    assert "cannot be overwritten because the tag is immutable" in refused.stderr


def test_an_image_that_was_pushed_is_pulled_by_digest(cloud, build, repository):
    uri = push(cloud, repository["repositoryName"], {"b.py": ""}, ["python", "b.py"])

    pulled = build(
        f"{login(repository)}docker pull {uri}\ndocker pull {uri[:-1]}x || true",
        "ecr:GetAuthorizationToken",
        "ecr:BatchGetImage",
    )

    assert f"Digest: {uri.partition('@')[2]}" in pulled.stdout
    assert "docker: " in pulled.stderr


def deploy(cloud, stack, properties, action="create"):
    cloudformation = cloud.client("cloudformation")
    resource = {"Type": "AWS::ECR::Repository", "Properties": properties}
    outputs = {
        name: {"Value": {"Fn::GetAtt": ["Images", name]} if name != "Name" else {"Ref": "Images"}}
        for name in ("Arn", "RepositoryUri", "Name")
    }
    body = json.dumps({"Resources": {"Images": resource}, "Outputs": outputs})
    getattr(cloudformation, f"{action}_stack")(StackName=stack, TemplateBody=body)
    return settled(cloudformation, stack)


def settled(cloudformation, stack):
    while (found := cloudformation.describe_stacks(StackName=stack)["Stacks"][0])["StackStatus"].endswith(
        "_IN_PROGRESS"
    ):
        time.sleep(0.05)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    return found["StackStatus"], outputs


def keep(count):
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count}
    rule = {"rulePriority": 1, "description": "x" * 40, "selection": selection, "action": {"type": "expire"}}
    return {"LifecyclePolicyText": json.dumps({"rules": [rule]})}


def test_a_stack_makes_changes_and_deletes_a_repository(cloud, unique):
    ecr, properties = cloud.client("ecr"), {"RepositoryName": unique, "ImageTagMutability": "IMMUTABLE"}
    properties["EncryptionConfiguration"] = {"EncryptionType": "AES256"}
    properties["ImageScanningConfiguration"] = {"ScanOnPush": "true"}

    status, outputs = deploy(cloud, unique, {**properties, "LifecyclePolicy": keep(2)})
    (made,) = ecr.describe_repositories(repositoryNames=[unique])["repositories"]
    assert ("CREATE_COMPLETE", unique) == (status, outputs["Name"])
    assert (made["repositoryUri"], made["repositoryArn"]) == (outputs["RepositoryUri"], outputs["Arn"])
    assert {"scanOnPush": True} == made["imageScanningConfiguration"]

    for number in range(3):
        push(cloud, unique, {"a.py": f"print({number})"}, ["python", "a.py"], tag=f"v{number}")
    assert 2 == len(ecr.describe_images(repositoryName=unique)["imageDetails"])

    changed = {**properties, "LifecyclePolicy": keep(1), "EmptyOnDelete": True}
    assert "UPDATE_COMPLETE" == deploy(cloud, unique, changed, "update")[0]
    assert 1 == len(ecr.describe_images(repositoryName=unique)["imageDetails"])

    cloud.client("cloudformation").delete_stack(StackName=unique)
    with pytest.raises(ClientError, match="does not exist"):
        while settled(cloud.client("cloudformation"), unique)[0] != "DELETE_COMPLETE":
            time.sleep(0.05)
    with pytest.raises(ClientError, match="RepositoryNotFoundException"):
        ecr.describe_repositories(repositoryNames=[unique])


def test_a_property_that_is_not_read_is_refused(cloud, unique):
    with pytest.raises(ClientError, match=r"Unsupported: AWS::ECR::Repository\.RepositoryPolicyText"):
        deploy(cloud, unique, {"RepositoryPolicyText": {"Version": "2012-10-17"}})
