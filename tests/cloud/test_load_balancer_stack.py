"""Load balancers as boto3 and CloudFormation see them."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError
from load_balancer_world import Service, certificate
from stacks import eventually

SPACE = "AWS::ElasticLoadBalancingV2::"
FORWARD = [{"Type": "forward", "TargetGroupArn": {"Ref": "Group"}}]
AWAY = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
BALANCER = {
    "Type": f"{SPACE}LoadBalancer",
    "Properties": {
        "Subnets": ["subnet-1", "subnet-2"],
        "LoadBalancerAttributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "30"}],
        "Tags": [{"Key": "a<b", "Value": "c & d"}],
    },
}  # fmt: skip


@pytest.fixture
def elb(cloud):
    return cloud.client("elbv2")


@pytest.fixture
def service():
    made = Service("here")
    yield made
    made.die()


def group(service, **more):
    address, port = service.server_address[:2]
    properties = {
        "Port": "80",
        "Protocol": "HTTP",
        "VpcId": "vpc-1",
        "TargetType": "ip",
        "HealthCheckPath": "/ping",
        "HealthCheckIntervalSeconds": "5",
        "HealthCheckTimeoutSeconds": "2",
        "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": 1}],
        "Targets": [{"Id": address, "Port": port}],
    }
    return {"Type": f"{SPACE}TargetGroup", "Properties": {**properties, **more}}


def listener(port, actions=FORWARD, **more):
    owner = {"LoadBalancerArn": {"Ref": "Balancer"}, "Port": port, "Protocol": "HTTP"}
    return {"Type": f"{SPACE}Listener", "Properties": {**owner, "DefaultActions": actions, **more}}


def rule(path):
    condition = {"Field": "path-pattern", "PathPatternConfig": {"Values": [path]}}
    fixed = {"StatusCode": "418", "MessageBody": "teapot"}
    properties = {
        "ListenerArn": {"Ref": "Listener"},
        "Priority": "7",
        "Conditions": [condition],
        "Actions": [{"Type": "fixed-response", "FixedResponseConfig": fixed}],
    }
    return {"Type": f"{SPACE}ListenerRule", "Properties": properties}


OUTPUTS = {
    "Name": {"Fn::GetAtt": ["Balancer", "DNSName"]},
    "Balancer": {"Ref": "Balancer"},
    "Group": {"Fn::GetAtt": ["Group", "TargetGroupFullName"]},
    "GroupArn": {"Ref": "Group"},
}


def get(url, **options):
    try:
        with urllib.request.urlopen(url, timeout=30, **options) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def healthy(elb, group):
    seen = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return [each["TargetHealth"]["State"] for each in seen] == ["healthy"]


def test_a_stack_is_asked_by_url_changes_and_goes_without_a_rest(elb, deploy, service):
    parts = {"Group": group(service), "Balancer": BALANCER, "Listener": listener("80"), "Rule": rule("/t*")}
    made = deploy(parts, OUTPUTS)
    eventually(lambda: healthy(elb, made["GroupArn"]))

    assert (200, b"here") == get(f"http://{made['Name']}/")
    assert (418, b"teapot") == get(f"http://{made['Name']}/tea")
    assert made["Group"].startswith("targetgroup/")
    [tags] = elb.describe_tags(ResourceArns=[made["Balancer"]])["TagDescriptions"]
    assert {"Key": "a<b", "Value": "c & d"} in tags["Tags"]
    [seen] = elb.describe_listeners(LoadBalancerArn=made["Balancer"])["Listeners"]
    assert made["GroupArn"] == seen["DefaultActions"][0]["TargetGroupArn"]
    kept = elb.describe_load_balancer_attributes(LoadBalancerArn=made["Balancer"])["Attributes"]
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "30"} in kept

    changed = deploy({**parts, "Rule": rule("/x"), "Group": group(service, Port="81")}, OUTPUTS)
    eventually(lambda: healthy(elb, changed["GroupArn"]))

    assert made["GroupArn"] != changed["GroupArn"]
    with pytest.raises(ClientError, match="not found"):
        elb.describe_target_groups(TargetGroupArns=[made["GroupArn"]])
    assert (200, b"here") == get(f"http://{changed['Name']}/tea")
    assert (418, b"teapot") == get(f"http://{changed['Name']}/x")

    deploy.delete()

    with pytest.raises(ClientError, match="not found"):
        elb.describe_load_balancers(LoadBalancerArns=[made["Balancer"]])
    with pytest.raises(OSError):
        get(f"http://{made['Name']}/")


def test_a_listener_shows_an_imported_certificate_and_the_plain_one_leads_to_it(cloud, elb, deploy, service):
    text, key = certificate("models.example")
    acm = cloud.client("acm")
    arn = acm.import_certificate(Certificate=text, PrivateKey=key)["CertificateArn"]
    secure = listener("443", Protocol="HTTPS", Certificates=[{"CertificateArn": arn}])
    plain = listener("80", [{"Type": "redirect", "RedirectConfig": AWAY}])
    parts = {"Group": group(service), "Balancer": BALANCER, "Plain": plain, "Secure": secure}
    made = deploy(parts, OUTPUTS)
    eventually(lambda: healthy(elb, made["GroupArn"]))
    trusting = ssl.create_default_context(cadata=text.decode())
    trusting.check_hostname = False

    assert (200, b"here") == get(f"http://{made['Name']}/", context=trusting)
    assert [made["Balancer"]] == acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"]
    with pytest.raises(ClientError, match="ResourceInUse"):
        acm.delete_certificate(CertificateArn=arn)


def test_what_is_not_part_of_the_local_cloud_is_refused_by_name(elb, deploy, service):
    sticky = {"TargetGroupAttributes": [{"Key": "stickiness.enabled", "Value": "true"}]}

    said = deploy({"Group": group(service, **sticky)})

    assert "the attribute stickiness.enabled can only be 'false'" in said
    with pytest.raises(ClientError, match="network load balancers are not part of the local cloud"):
        elb.create_load_balancer(Name="net", Type="network", Subnets=["a", "b"])
    with pytest.raises(ClientError, match="DescribeTrustStores is not part of the local cloud"):
        elb.describe_trust_stores()


def test_access_logs_go_to_a_bucket_that_lets_load_balancers_write(cloud, elb, deploy, service, unique):
    s3, bucket = cloud.client("s3"), f"logs-{unique}"
    s3.create_bucket(Bucket=bucket)
    attributes = {
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": bucket,
        "access_logs.s3.prefix": "x",
    }
    logging = [{"Key": name, "Value": value} for name, value in attributes.items()]
    balancer = {**BALANCER, "Properties": {**BALANCER["Properties"], "LoadBalancerAttributes": logging}}

    assert f"Access Denied for bucket: {bucket}" in deploy({"Balancer": balancer})

    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/x/AWSLogs/*",
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:elasticloadbalancing:*:*:loadbalancer/*"}},
    }
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    [made] = elb.create_load_balancer(Name=unique, Subnets=["a", "b"])["LoadBalancers"]
    elb.modify_load_balancer_attributes(LoadBalancerArn=made["LoadBalancerArn"], Attributes=logging)
    [seen] = s3.list_objects_v2(Bucket=bucket)["Contents"]

    assert seen["Key"].startswith("x/AWSLogs/") and seen["Key"].endswith("/ELBAccessLogTestFile")
