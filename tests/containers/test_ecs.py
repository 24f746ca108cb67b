"""Both container engines run Fargate tasks: from a template to an answer through the load balancer."""

import json
import os
import signal

import pytest
from ecs_world import SERVE, ask
from engine_world import PULL, EngineWorld, allow
from stacks import Stacks, trust

from atelier.cloud.gateway import launch

ENGINES = ["process", pytest.param("docker", marks=pytest.mark.docker)]

PROGRAM = f"""
import os, pathlib, sys, urllib.request
print("serving on", os.environ["PORT"], flush=True)
def told(variable):
    with urllib.request.urlopen(os.environ[variable]) as answer:
        return answer.read().decode()
VERSION, HEALTHY = os.environ["VERSION"], True
if VERSION == "bad":
    sys.exit("no model")
shared = pathlib.Path(os.environ["SHARED"])
try:
    (shared / "written").write_text("?")
    sys.exit("a read-only volume was written")
except OSError as error:
    print("cannot write:", error.strerror, flush=True)
class Shared:
    def encode(self):
        text = (shared / "greeting").read_text() if (shared / "greeting").exists() else ""
        return " ".join([TOLD, text]).encode()
TOLD = "|".join([
    VERSION, os.environ["SECRET"], told("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    told("ECS_CONTAINER_METADATA_URI_V4"), "",
])
VERSION = Shared()
{SERVE}
"""


@pytest.fixture(scope="module", params=ENGINES)
def world(request):
    world = EngineWorld(request.param)
    world.client("logs").create_log_group(logGroupName="fleet")
    yield world
    world.close()


def ref(name):
    return {"Ref": name}


def att(name, attribute):
    return {"Fn::GetAtt": [name, attribute]}


def role(*statements):
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": trust("ecs-tasks.amazonaws.com"),
            "Policies": [{"PolicyName": "p", "PolicyDocument": policy}] if statements else [],
        },
    }


def storage():
    """A network, and a file system that its tasks reach."""
    rule = {"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "CidrIp": "10.0.0.0/16"}
    return {
        "Net": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        **{
            f"Subnet{number}": {
                "Type": "AWS::EC2::Subnet",
                "Properties": {
                    **{"VpcId": ref("Net"), "CidrBlock": f"10.0.{number}.0/24"},
                    "AvailabilityZone": f"us-east-1{'ab'[number - 1]}",
                },
            }
            for number in (1, 2)
        },
        "Members": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                **{"GroupDescription": "tasks and files", "VpcId": ref("Net")},
                "SecurityGroupIngress": [rule],
            },
        },
        "Files": {"Type": "AWS::EFS::FileSystem", "Properties": {"Encrypted": True}},
        "Door": {
            "Type": "AWS::EFS::MountTarget",
            "Properties": {
                **{"FileSystemId": ref("Files"), "SubnetId": ref("Subnet1")},
                "SecurityGroups": [att("Members", "GroupId")],
            },
        },
    }


def fleet(image, version):
    """A whole service behind a load balancer."""
    subnets = [ref("Subnet1"), ref("Subnet2")]
    container = {
        "Name": "main",
        "Image": image,
        "Environment": [
            {"Name": "VERSION", "Value": version},
            {"Name": "SHARED", "Value": "/mnt/shared"},
        ],
        "Secrets": [{"Name": "SECRET", "ValueFrom": "/fleet/secret"}],
        "MountPoints": [{"SourceVolume": "shared", "ContainerPath": "/mnt/shared", "ReadOnly": True}],
        "HealthCheck": {"Command": ["CMD-SHELL", "test -d $SHARED"], "Interval": 5},
        "PortMappings": [{"ContainerPort": 8080}],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {
                "awslogs-group": "fleet",
                "awslogs-region": "us-east-1",
                "awslogs-stream-prefix": "s",
            },
        },
    }
    network = {"AwsvpcConfiguration": {"Subnets": subnets, "SecurityGroups": [att("Members", "GroupId")]}}
    shared = {"FilesystemId": ref("Files"), "TransitEncryption": "ENABLED"}
    return {
        **storage(),
        "TaskRole": role(),
        "ExecutionRole": role(
            allow(*PULL, "logs:CreateLogStream", "logs:PutLogEvents", "ssm:GetParameter", "ssm:GetParameters")
        ),
        "Cluster": {"Type": "AWS::ECS::Cluster", "Properties": {"CapacityProviders": ["FARGATE_SPOT"]}},
        "Definition": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {
                **{"Family": "fleet", "Cpu": "256", "Memory": "512", "NetworkMode": "awsvpc"},
                **{"RequiresCompatibilities": ["FARGATE"], "ContainerDefinitions": [container]},
                "Volumes": [{"Name": "shared", "EFSVolumeConfiguration": shared}],
                **{"TaskRoleArn": att("TaskRole", "Arn"), "ExecutionRoleArn": att("ExecutionRole", "Arn")},
            },
        },
        "Group": {
            "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
            "Properties": {
                **{"Protocol": "HTTP", "Port": 8080, "TargetType": "ip", "VpcId": ref("Net")},
                **{"HealthCheckPath": "/ping", "HealthCheckIntervalSeconds": 5},
                **{"HealthCheckTimeoutSeconds": 2, "UnhealthyThresholdCount": 2},
                "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "2"}],
            },
        },
        "Balancer": {
            "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "Properties": {"Subnets": subnets, "Type": "application"},
        },
        "Listener": {
            "Type": "AWS::ElasticLoadBalancingV2::Listener",
            "Properties": {
                **{"LoadBalancerArn": ref("Balancer"), "Protocol": "HTTP", "Port": 80},
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": ref("Group")}],
            },
        },
        "Service": {
            "Type": "AWS::ECS::Service",
            "DependsOn": ["Listener", "Door"],
            "Properties": {
                **{"Cluster": ref("Cluster"), "TaskDefinition": ref("Definition"), "DesiredCount": 1},
                "HealthCheckGracePeriodSeconds": 60,
                "CapacityProviderStrategy": [{"CapacityProvider": "FARGATE_SPOT", "Weight": 1}],
                "DeploymentConfiguration": {
                    "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
                },
                "LoadBalancers": [
                    {"ContainerName": "main", "ContainerPort": 8080, "TargetGroupArn": ref("Group")}
                ],
                "NetworkConfiguration": network,
            },
        },
    }


OUTPUTS = {
    **{"Url": att("Balancer", "DNSName"), "Role": att("TaskRole", "Arn"), "Service": att("Service", "Name")},
    **{"Files": ref("Files"), "Cluster": ref("Cluster")},
}


def kill(world):
    """Kill the cloud, and start it again."""
    os.kill(json.loads((world.home / "cloud.json").read_text())["pid"], signal.SIGKILL)
    world.until(lambda: launch.status(world.home).running, lambda running: not running)
    world.up()


def answered(url):
    """Say what is answered, or that nothing is: the balancer may be starting."""
    try:
        return ask(url)
    except OSError as error:
        return 0, str(error)


def test_a_fleet_deploys_rolls_over_goes_back_from_a_bad_version_and_survives_a_kill(world):
    image = world.image(program=PROGRAM, command=("python", "app.py"))
    world.client("ssm").put_parameter(Name="/fleet/secret", Value="s3cret", Type="SecureString")
    stack = Stacks(world.client("cloudformation"), "fleet")

    made = stack(fleet(image, "v1"), OUTPUTS)
    assert isinstance(made, dict), made
    (world.home / "efs" / made["Files"] / "greeting").write_text("hello from the shared files")
    status, body = ask(made["Url"])
    rolled = stack(fleet(image, "v2"), OUTPUTS)
    refused = stack(fleet(image, "bad"), OUTPUTS)

    version, secret, credentials, metadata, greeting = body.split("|")
    assert (200, "v1", "s3cret", "hello from the shared files") == (status, version, secret, greeting.strip())
    assert made["Role"] == json.loads(credentials)["RoleArn"]
    assert "main" == json.loads(metadata)["Name"]
    assert made == rolled
    assert "Circuit Breaker was triggered" in refused
    assert "v2" == ask(made["Url"])[1][:2]
    assert {"serving on 8080", "cannot write: Read-only file system"} <= set(world.log("fleet"))

    kill(world)
    world.until(lambda: answered(made["Url"])[1][:2], lambda answer: answer == "v2")
    assert "DELETE_COMPLETE" == Stacks(world.client("cloudformation"), "fleet").delete()
    (cluster,) = world.client("ecs").describe_clusters(clusters=[made["Cluster"]])["clusters"]
    assert ("INACTIVE", 0) == (cluster["status"], cluster["runningTasksCount"])
