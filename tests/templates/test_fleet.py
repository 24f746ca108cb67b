"""The promises of the serving fleet's stacks."""

import json
import re
from pathlib import Path

import pytest

from atelier import synth
from atelier.contract import fleet, tables

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stack():
    return json.loads(synth.text("serving-fleet"))


@pytest.fixture(scope="module")
def resources(stack):
    return stack["Resources"]


def statements(resources, role):
    return resources[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]


def actions(resources, role):
    found = [each["Fn::If"][1] if "Fn::If" in each else each for each in statements(resources, role)]
    return {action for each in found for action in each["Action"]}


def kind(resources, name):
    return {title: each["Properties"] for title, each in resources.items() if each["Type"] == name}


def test_a_deployment_that_fails_goes_back_and_never_takes_a_task_away_before_another_is_there(resources):
    said = resources["Service"]["Properties"]["DeploymentConfiguration"]

    assert {"Enable": True, "Rollback": True} == said["DeploymentCircuitBreaker"]
    assert (100, 200) == (said["MinimumHealthyPercent"], said["MaximumPercent"])


def test_the_number_of_tasks_is_what_a_deployment_finds_and_none_at_first(stack, resources):
    assert {"Ref": "FleetTasks"} == resources["Service"]["Properties"]["DesiredCount"]
    assert "0" == stack["Parameters"]["FleetTasks"]["Default"]


def test_a_task_reads_the_fleets_models_and_their_name_and_writes_nothing(resources):
    assert {
        "s3:GetObject",
        "s3:GetObjectVersion",
        "ssm:GetParameter",
        "elasticfilesystem:ClientMount",
    } == actions(resources, "TaskRole")
    (models, *_) = statements(resources, "TaskRole")
    assert [{"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::${{ModelsBucketName}}/{fleet.PREFIX}*"}] == models[
        "Resource"
    ]


def test_tasks_are_in_private_subnets_and_reached_by_the_load_balancer_alone(resources):
    network = resources["Service"]["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    (door,) = resources["TaskGroup"]["Properties"]["SecurityGroupIngress"]

    assert ("DISABLED", {"Fn::Split": [",", {"Ref": "PrivateSubnetIds"}]}) == (
        network["AssignPublicIp"],
        network["Subnets"],
    )
    assert {"Fn::GetAtt": ["FrontGroup", "GroupId"]} == door["SourceSecurityGroupId"]


def test_the_load_balancer_gets_out_to_the_tasks_alone_and_they_to_aws_by_tls(resources):
    (nowhere,) = resources["FrontGroup"]["Properties"]["SecurityGroupEgress"]
    (aws,) = resources["TaskGroup"]["Properties"]["SecurityGroupEgress"]
    out = resources["ToTasks"]["Properties"]

    assert "127.0.0.1/32" == nowhere["CidrIp"]
    assert [{"Fn::GetAtt": [each, "GroupId"]} for each in ("FrontGroup", "TaskGroup")] == [
        out["GroupId"],
        out["DestinationSecurityGroupId"],
    ]
    assert (fleet.PORT, fleet.PORT) == (out["FromPort"], out["ToPort"])
    assert ("tcp", 443, 443) == (aws["IpProtocol"], aws["FromPort"], aws["ToPort"])


def test_the_template_names_no_version_of_the_parameter(resources):
    (container,) = resources["Task"]["Properties"]["ContainerDefinitions"]
    variables = {each["Name"]: each["Value"] for each in container["Environment"]}

    assert {"Fn::Sub": "/${Prefix}/fleet/model"} == variables[fleet.MODEL_PARAMETER]
    assert (fleet.CONTAINER, ["fleet"]) == (container["Name"], container["Command"])


def test_shared_files_are_mounted_read_only(resources):
    (container,) = resources["Task"]["Properties"]["ContainerDefinitions"]
    condition, (mount,), nothing = container["MountPoints"]["Fn::If"]

    assert ("HasFileSystem", True, {"Ref": "AWS::NoValue"}) == (condition, mount["ReadOnly"], nothing)


def test_with_a_certificate_plain_http_only_leads_to_tls(resources):
    condition, redirect, refusal = resources["Plain"]["Properties"]["DefaultActions"][0]["Fn::If"]

    assert ("HasCertificate", "redirect", "fixed-response") == (condition, redirect["Type"], refusal["Type"])
    assert "HasCertificate" == resources["Secure"]["Condition"]
    assert {"Fn::If": ["HasCertificate", {"Ref": "Secure"}, {"Ref": "Plain"}]} == resources["ForwardingRule"][
        "Properties"
    ]["ListenerArn"]


def test_a_task_that_leaves_has_longer_than_any_request_may_last(resources):
    balancer, targets = (resources[each]["Properties"] for each in ("Balancer", "Targets"))
    idle, delay = (
        int(next(each["Value"] for each in attributes if each["Key"] == key))
        for attributes, key in (
            (balancer["LoadBalancerAttributes"], "idle_timeout.timeout_seconds"),
            (targets["TargetGroupAttributes"], "deregistration_delay.timeout_seconds"),
        )
    )
    (container,) = resources["Task"]["Properties"]["ContainerDefinitions"]
    server = (ROOT / "images/training/gpt_neo/gpt_neo/fleet.py").read_text()
    drain, keep_alive = (
        int(re.search(rf"^{name}_SECONDS = (\d+)$", server, re.MULTILINE)[1])
        for name in ("DRAIN", "KEEP_ALIVE")
    )

    assert idle < delay
    assert idle < keep_alive
    assert idle < drain < container["StopTimeout"] <= 120  # the most that Fargate takes


def test_clients_ask_at_the_name_that_the_certificate_is_for(stack):
    (_, (scheme, name)) = stack["Outputs"]["FleetUrl"]["Value"]["Fn::Join"]

    assert {"Fn::If": ["HasCertificate", "https://", "http://"]} == scheme
    assert {"Fn::If": ["HasDomain", {"Ref": "FleetDomain"}, {"Fn::GetAtt": ["Balancer", "DNSName"]}]} == name


@pytest.mark.parametrize(
    ("name", "domain", "certificate"),
    [
        ("serving-fleet", "FleetDomain", "FleetCertificateArn"),
        ("docs-site", "DocsDomain", "DocsCertificateArn"),
    ],
)
def test_a_name_of_ones_own_needs_its_certificate(name, domain, certificate):
    (assertion,) = json.loads(synth.text(name))["Rules"]["DomainHasCertificate"]["Assertions"]

    assert {
        "Fn::Or": [
            {"Fn::Equals": [{"Ref": domain}, ""]},
            {"Fn::Not": [{"Fn::Equals": [{"Ref": certificate}, ""]}]},
        ]
    } == assertion["Assert"]
    assert f"{domain} needs {certificate}" in assertion["AssertDescription"]


def test_only_the_two_functions_change_what_is_served(resources):
    writers = {
        title
        for title, each in resources.items()
        if each["Type"] == "AWS::IAM::Role"
        and {"ssm:PutParameter", "ecs:UpdateService"} & actions(resources, title)
    }

    assert {"LandingRole", "ReportRole"} == writers


def test_the_two_functions_may_read_what_each_version_of_the_parameter_names(resources):
    for title in ("LandingRole", "ReportRole"):
        read = [
            place["Fn::Sub"].rpartition(":")[2]
            for each in statements(resources, title)
            if "ssm:GetParameter" in each["Action"]
            for place in each["Resource"]
        ]

        assert ["parameter/${Prefix}/fleet/model", "*"] == read


def test_what_lands_is_gathered_and_what_fails_is_kept_and_told(resources):
    (source,) = kind(resources, "AWS::Lambda::EventSourceMapping").values()
    queue = resources["Landings"]["Properties"]

    assert {"Ref": "FleetWindowSeconds"} == source["MaximumBatchingWindowInSeconds"]
    assert ["ReportBatchItemFailures"] == source["FunctionResponseTypes"]
    assert {"Fn::GetAtt": ["LandingsAside", "Arn"]} == queue["RedrivePolicy"]["deadLetterTargetArn"]
    assert queue["VisibilityTimeout"] >= 6 * resources["Landing"]["Properties"]["Timeout"]
    assert {"Ref": "Reports"} in resources["LandingsAsideAlarm"]["Properties"]["AlarmActions"]


def test_the_end_of_a_deployment_is_told_and_looked_at(resources):
    rule = resources["DeploymentRule"]["Properties"]

    assert [{"Ref": "Service"}] == rule["EventPattern"]["resources"]
    assert {"SERVICE_DEPLOYMENT_COMPLETED", "SERVICE_DEPLOYMENT_FAILED"} == set(
        rule["EventPattern"]["detail"]["eventName"]
    )
    assert ["Report", "Landings"] == [each["Id"] for each in rule["Targets"]]


def test_the_bucket_is_looked_at_now_and_then_whatever_events_came(resources):
    clock, policy = (resources[each]["Properties"] for each in ("ClockRule", "LandingsPolicy"))
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert [{"Fn::GetAtt": ["Landings", "Arn"]}] == [each["Arn"] for each in clock["Targets"]]
    assert {"Fn::GetAtt": ["ClockRule", "Arn"]} in statement["Condition"]["ArnEquals"]["aws:SourceArn"]


def test_what_eventbridge_cannot_deliver_is_put_aside(resources):
    rules = kind(resources, "AWS::Events::Rule")
    (statement,) = resources["LandingsAsidePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    aside = {"Fn::GetAtt": ["LandingsAside", "Arn"]}

    assert [aside] * 4 == [
        target["DeadLetterConfig"]["Arn"] for rule in rules.values() for target in rule["Targets"]
    ]
    assert aside == statement["Resource"]
    assert [{"Fn::GetAtt": [title, "Arn"]} for title in rules] == sorted(
        statement["Condition"]["ArnEquals"]["aws:SourceArn"],
        key=lambda each: [*rules].index(each["Fn::GetAtt"][0]),
    )


def test_a_revision_is_made_of_the_fleets_family_alone_with_its_own_roles(resources):
    making = next(
        each
        for each in statements(resources, "LandingRole")
        if "ecs:RegisterTaskDefinition" in each["Action"]
    )
    passing = next(each for each in statements(resources, "LandingRole") if "iam:PassRole" in each["Action"])

    (family,) = making["Resource"]
    assert family["Fn::Sub"].endswith(":task-definition/${Prefix}-fleet:*")
    assert [{"Fn::GetAtt": [each, "Arn"]} for each in ("ExecutionRole", "TaskRole")] == passing["Resource"]
    assert {"iam:PassedToService": "ecs-tasks.amazonaws.com"} == passing["Condition"]["StringEquals"]


def test_models_have_versions_and_their_landing_is_an_event():
    found = json.loads(synth.text("shared-models"))["Resources"]
    bucket = found["ModelsBucket"]["Properties"]

    assert "Enabled" == bucket["VersioningConfiguration"]["Status"]
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"]
    assert [tables.FLEET.indexes[0].name] == [
        each["IndexName"] for each in found["FleetHistory"]["Properties"]["GlobalSecondaryIndexes"]
    ]


def test_the_version_that_serves_outlasts_a_hundred_that_land_after_it_under_its_name():
    bucket = json.loads(synth.text("shared-models"))["Resources"]["ModelsBucket"]["Properties"]
    rules = [rule.get("NoncurrentVersionExpiration") for rule in bucket["LifecycleConfiguration"]["Rules"]]

    assert [{"NoncurrentDays": 90, "NewerNoncurrentVersions": 100}] == [rule for rule in rules if rule]


def test_only_load_balancers_write_access_logs():
    policy = json.loads(synth.text("shared-models"))["Resources"]["FleetLogsPolicy"]["Properties"]
    deny, write = policy["PolicyDocument"]["Statement"]

    assert ("Deny", {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}) == (
        deny["Effect"],
        write["Principal"],
    )
    assert ["s3:PutObject"] == write["Action"]


def test_publishing_may_write_to_the_fleet_only_where_there_is_one():
    pipeline = json.loads(synth.text("training-pipeline"))
    fed = [each["Fn::If"] for each in statements(pipeline["Resources"], "PublishRole") if "Fn::If" in each]

    assert [("HasFleet", {"Ref": "AWS::NoValue"})] * 2 == [(each[0], each[2]) for each in fed]
    assert ["HasFleet", {"Ref": "FleetBucketName"}, fleet.NO_BUCKET] == pipeline["Resources"]["Publish"][
        "Properties"
    ]["Environment"]["Variables"]["FLEET_BUCKET"]["Fn::If"]
