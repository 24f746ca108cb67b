"""Both container engines run Fargate tasks: from a template to an answer through the load balancer."""

import json

import pytest
from ecs_world import SERVE, ask
from engine_world import PULL, EngineWorld, allow
from stacks import Stacks, trust

ENGINES = ["process", pytest.param("docker", marks=pytest.mark.docker)]

PROGRAM = f"""
import os, sys, urllib.request
print("serving on", os.environ["PORT"], flush=True)
def told(variable):
    with urllib.request.urlopen(os.environ[variable]) as answer:
        return answer.read().decode()
VERSION, HEALTHY = os.environ["VERSION"], True
if VERSION == "bad":
    sys.exit("no model")
VERSION += " " + told("AWS_CONTAINER_CREDENTIALS_FULL_URI") + told("ECS_CONTAINER_METADATA_URI_V4")
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


def fleet(image, version):
    """A whole service behind a load balancer."""
    container = {
        "Name": "main",
        "Image": image,
        "Environment": [{"Name": "VERSION", "Value": version}],
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
    network = {"AwsvpcConfiguration": {"Subnets": ["subnet-1", "subnet-2"]}}
    return {
        "TaskRole": role(),
        "ExecutionRole": role(allow(*PULL, "logs:CreateLogStream", "logs:PutLogEvents")),
        "Cluster": {"Type": "AWS::ECS::Cluster", "Properties": {"CapacityProviders": ["FARGATE_SPOT"]}},
        "Definition": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {
                **{"Family": "fleet", "Cpu": "256", "Memory": "512", "NetworkMode": "awsvpc"},
                **{"RequiresCompatibilities": ["FARGATE"], "ContainerDefinitions": [container]},
                **{"TaskRoleArn": att("TaskRole", "Arn"), "ExecutionRoleArn": att("ExecutionRole", "Arn")},
            },
        },
        "Group": {
            "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
            "Properties": {
                **{"Protocol": "HTTP", "Port": 8080, "TargetType": "ip", "VpcId": "vpc-1"},
                **{"HealthCheckPath": "/ping", "HealthCheckIntervalSeconds": 5},
                **{"HealthCheckTimeoutSeconds": 2, "UnhealthyThresholdCount": 2},
                "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "2"}],
            },
        },
        "Balancer": {
            "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "Properties": {"Subnets": ["subnet-1", "subnet-2"], "Type": "application"},
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
            "DependsOn": ["Listener"],
            "Properties": {
                **{"Cluster": ref("Cluster"), "TaskDefinition": ref("Definition"), "DesiredCount": 1},
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
    "Url": att("Balancer", "DNSName"),
    "Role": att("TaskRole", "Arn"),
    "Service": att("Service", "Name"),
}


def test_a_fleet_deploys_rolls_over_and_goes_back_from_a_bad_version(world):
    image = world.image(program=PROGRAM, command=("python", "app.py"))
    stack = Stacks(world.client("cloudformation"), "fleet")

    made = stack(fleet(image, "v1"), OUTPUTS)
    assert isinstance(made, dict), made
    status, body = ask(made["Url"])
    rolled = stack(fleet(image, "v2"), OUTPUTS)
    refused = stack(fleet(image, "bad"), OUTPUTS)

    assert (200, "v1") == (status, body[:2])
    credentials, metadata = json.JSONDecoder().raw_decode(body[3:])[0], body[body.rindex('{"DockerId"') :]
    assert made["Role"] == credentials["RoleArn"]
    assert "main" == json.loads(metadata)["Name"]
    assert made == rolled
    assert "Circuit Breaker was triggered" in refused
    assert "v2" == ask(made["Url"])[1][:2]
    assert "serving on 8080" in world.log("fleet")
    assert "DELETE_COMPLETE" == stack.delete()
