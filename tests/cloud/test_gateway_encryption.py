"""A secret under a customer's key is open to nobody who may not use the key."""

import boto3
import pytest
from botocore.exceptions import ClientError

OWNER = {
    "Version": "2012-10-17",
    "Statement": [
        {
            **{"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
            "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
        }
    ],
}


def stack(key):
    return {
        "Key": {
            "Type": "AWS::KMS::Key",
            "Properties": {"EnableKeyRotation": True, "KeyPolicy": OWNER},
        },
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"SecretString": "first", "KmsKeyId": key},
        },
    }


@pytest.fixture
def made(deploy):
    outputs = {"Key": {"Fn::GetAtt": ["Key", "Arn"]}, "Secret": {"Fn::GetAtt": ["Secret", "Id"]}}
    return deploy(stack({"Fn::GetAtt": ["Key", "Arn"]}), outputs)


@pytest.fixture
def as_role(cloud, role):
    """Return a client of Secrets Manager that acts as a role of these statements."""

    def client(*statements):
        everyone = {"AWS": "arn:aws:iam::000000000000:root"}
        arn = role(cloud, list(statements), everyone)
        key = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return boto3.client(
            "secretsmanager",
            endpoint_url=cloud.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            aws_session_token=key["SessionToken"],
        )

    return client


def allow(actions, resource, **condition):
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


VALUES = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
THROUGH = {"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}


def test_who_may_read_the_secret_but_not_use_its_key_is_refused(made, as_role):
    secrets = as_role(allow(VALUES, made["Secret"]))

    with pytest.raises(ClientError, match=f"Access to KMS is not allowed: kms:Decrypt on {made['Key']}"):
        secrets.get_secret_value(SecretId=made["Secret"])
    with pytest.raises(ClientError, match="Access to KMS is not allowed: kms:GenerateDataKey"):
        secrets.put_secret_value(SecretId=made["Secret"], SecretString="another")


def test_a_key_that_may_be_used_through_secrets_manager_opens_its_secret(made, as_role):
    using = allow(["kms:Decrypt", "kms:GenerateDataKey"], made["Key"], **THROUGH)
    secrets = as_role(allow(VALUES, made["Secret"]), using)

    secrets.put_secret_value(SecretId=made["Secret"], SecretString="another")

    assert "another" == secrets.get_secret_value(SecretId=made["Secret"])["SecretString"]


def test_a_disabled_key_closes_its_secret_to_everybody(cloud, made):
    cloud.client("kms").disable_key(KeyId=made["Key"])

    with pytest.raises(ClientError, match="is disabled"):
        cloud.client("secretsmanager").get_secret_value(SecretId=made["Secret"])


def test_a_secret_under_a_key_that_is_not_there_is_not_made(cloud, deploy):
    assert "there is no KMS key alias/nothing" in deploy(stack("alias/nothing"))
    with pytest.raises(ClientError, match="there is no KMS key alias/nothing"):
        cloud.client("secretsmanager").create_secret(Name="x", SecretString="y", KmsKeyId="alias/nothing")


def test_a_key_of_a_stack_is_rotated(cloud, made):
    assert cloud.client("kms").get_key_rotation_status(KeyId=made["Key"])["KeyRotationEnabled"]
