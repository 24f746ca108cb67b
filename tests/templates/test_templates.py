"""Every template: what it says resolves, is bounded, and is the same every time."""

import importlib
import inspect
import json
import re
from dataclasses import fields
from functools import cache

import pytest

from atelier import deploy, synth
from atelier.contract import settings

PSEUDO = re.compile(r"AWS::\w+")

# Actions for which IAM knows no resource, or on resources that AWS itself names.
UNBOUNDED = {
    "ecr:GetAuthorizationToken": "a token is for the whole registry",
    "cloudwatch:PutMetricData": "bounded by its namespace",
    "codepipeline:PutJobSuccessResult": "a job has no ARN",
    "codepipeline:PutJobFailureResult": "a job has no ARN",
    "ecs:DescribeTaskDefinition": "IAM knows no resource for it",
    **{
        f"ssmmessages:{each}": "a channel of Session Manager has no ARN"
        for each in ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel")
    },
    **{
        f"ec2:Describe{each}": "EC2 knows no resource for listings"
        for each in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
    },
    "xray:PutTraceSegments": "a trace has no ARN",
    "xray:PutTelemetryRecords": "a trace has no ARN",
}

RETAINED = {
    "AWS::S3::Bucket",
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
    "AWS::CodeCommit::Repository",
    "AWS::EFS::FileSystem",
}

every_template = pytest.mark.parametrize("name", synth.TEMPLATES)


@cache
def rendered(name):
    return json.loads(synth.text(name))


def resources(name, kind=None):
    found = rendered(name)["Resources"]
    return {title: each for title, each in found.items() if kind in (None, each["Type"])}


def walk(value):
    """Every object inside a document."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def names_in(substitution):
    text, own = substitution if isinstance(substitution, list) else (substitution, {})
    return {each.split(".")[0] for each in re.findall(r"\$\{([\w.:]+)\}", text)} - own.keys()


@every_template
def test_a_template_is_the_same_every_time(name):
    assert synth.text(name) == synth.text(name)


@every_template
def test_a_template_fits_into_one_request_or_comes_when_there_is_a_bucket_for_it(name):
    most = 1_000_000 if name in ("middleware-api", "training-pipeline") else 51_200
    assert most > len(synth.text(name).encode())


@every_template
def test_every_reference_resolves(name):
    known = rendered(name)["Resources"].keys() | rendered(name).get("Parameters", {}).keys()
    used = set()
    for each in walk(rendered(name)):
        used |= {each["Ref"]} if "Ref" in each else set()
        used |= {each["Fn::GetAtt"][0]} if "Fn::GetAtt" in each else set()
        used |= names_in(each["Fn::Sub"]) if "Fn::Sub" in each else set()

    assert set() == {each for each in used - known if not PSEUDO.fullmatch(each)}


@every_template
def test_every_parameter_is_used(name):
    text = json.dumps({key: rendered(name).get(key) for key in ("Resources", "Conditions", "Outputs")})

    unused = {
        each
        for each in rendered(name).get("Parameters", {})
        if f'"Ref": "{each}"' not in text and f"${{{each}}}" not in text
    }

    assert set() == unused


@every_template
def test_every_handler_is_a_function(name):
    for each in resources(name, "AWS::Lambda::Function").values():
        module, _, function = each["Properties"]["Handler"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))


@every_template
def test_every_functions_variables_are_of_declared_classes(name):
    declared = [
        {member.name.upper() for member in fields(each)}
        for _, each in inspect.getmembers(settings, inspect.isclass)
        if each.__name__.endswith("Settings") and each is not settings.MissingSettings
    ]
    for each in resources(name, "AWS::Lambda::Function").values():
        used = each["Properties"]["Environment"]["Variables"].keys() - {"POWERTOOLS_SERVICE_NAME"}
        assert used == set().union(*(names for names in declared if names <= used))


@every_template
def test_every_function_logs_to_a_group_that_forgets(name):
    groups = resources(name, "AWS::Logs::LogGroup")
    for each in resources(name, "AWS::Lambda::Function").values():
        group = groups[each["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["Properties"]["RetentionInDays"]


@every_template
def test_no_role_may_do_anything_everywhere(name):
    # in a key's own policy, * is that key; an endpoint's policy gives nothing, it only lets through
    doors = {"AWS::KMS::Key", "AWS::EC2::VPCEndpoint"}
    others = {title: each for title, each in resources(name).items() if each["Type"] not in doors}
    for each in walk(others):
        if each.get("Effect") != "Allow" or "Resource" not in each:
            continue
        assert not [action for action in each["Action"] if "*" in action]
        if "*" in each["Resource"]:
            assert each["Action"][0] in UNBOUNDED or set(each["Action"]) <= UNBOUNDED.keys()


@every_template
def test_a_role_is_handed_to_named_services_only(name):
    for each in walk(resources(name)):
        if "iam:PassRole" in each.get("Action", []):
            services = each["Condition"]["StringEquals"]["iam:PassedToService"]
            assert ["iam:PassRole"] == each["Action"]
            assert all(
                service.endswith(".amazonaws.com")
                for service in (services if isinstance(services, list) else [services])
            )


@every_template
def test_what_holds_state_outlives_its_stack(name):
    for each in resources(name).values():
        if each["Type"] in RETAINED:
            assert ("Retain", "Retain") == (each["DeletionPolicy"], each["UpdateReplacePolicy"])


@every_template
def test_what_can_be_tagged_says_where_it_belongs(name):
    taggable = {"AWS::Lambda::Function", "AWS::IAM::Role", "AWS::S3::Bucket", "AWS::Logs::LogGroup"}
    for each in resources(name).values():
        if each["Type"] in taggable:
            tags = {tag["Key"]: tag["Value"] for tag in each["Properties"]["Tags"]}
            assert {"atelier:installation": {"Ref": "Prefix"}, "atelier:stack": name} == tags


@every_template
def test_every_key_is_rotated_and_left_to_iam(name):
    for each in resources(name, "AWS::KMS::Key").values():
        assert each["Properties"]["EnableKeyRotation"]
        (statement,) = each["Properties"]["KeyPolicy"]["Statement"]
        assert {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}} == statement[
            "Principal"
        ]


@every_template
def test_every_bucket_is_private_encrypted_and_reached_by_tls(name):
    policies = {
        each["Properties"]["Bucket"]["Ref"]: each["Properties"]["PolicyDocument"]["Statement"][0]
        for each in resources(name, "AWS::S3::BucketPolicy").values()
    }
    for title, each in resources(name, "AWS::S3::Bucket").items():
        assert {True} == set(each["Properties"]["PublicAccessBlockConfiguration"].values())
        assert each["Properties"]["BucketEncryption"]
        assert "Deny" == policies[title]["Effect"]


def test_a_parameter_of_a_stack_is_an_output_of_one_before_it_or_has_a_default():
    for name, before in {
        "storage": [],
        "account": [],
        "registry": ["storage"],
        "network": [],
        "shared-storage": ["network"],
        "training-pipeline": ["storage", "registry"],
        "middleware-state": ["storage"],
        "middleware-images": ["storage", "middleware-state"],
        "middleware-jobs": ["storage", "middleware-state"],
        "middleware-work": ["storage", "middleware-state"],
        "middleware-api": ["storage", "middleware-state", "middleware-jobs", "middleware-work"],
        "webui-state": [],
        "webui-pipeline": ["storage", "registry", "webui-state"],
    }.items():
        given = {output for each in before for output in rendered(each)["Outputs"]}
        given |= {"CodeKey", "LayerKey", "ImageSourceKey"}
        needed = {
            each for each, what in rendered(name).get("Parameters", {}).items() if "Default" not in what
        }
        assert set() == needed - given


def test_one_stack_alone_owns_the_setting_of_the_whole_account():
    owners = [name for name in synth.TEMPLATES if resources(name, "AWS::ApiGateway::Account")]

    assert ["account"] == owners


def test_whoever_logs_an_apis_requests_comes_after_the_setting_that_lets_it():
    for order in (deploy.ORDER, deploy.MIDDLEWARE):
        logging = [
            place
            for place, name in enumerate(order)
            for stage in resources(name, "AWS::ApiGateway::Stage").values()
            if "AccessLogSetting" in stage["Properties"]
        ]
        assert all(order.index("account") < place for place in logging)


def test_no_output_shows_a_secret():
    outputs = rendered("serving-api")["Outputs"]

    assert {"Ref": "Key"} == outputs["ApiKeyId"]["Value"]
    assert not [each for each in outputs if "secret" in each.lower() or each.endswith("KeyValue")]


def test_rendering_writes_every_template(tmp_path):
    written = synth.render(tmp_path / "out")

    assert [f"{name}.json" for name in synth.TEMPLATES] == [each.name for each in written]
    assert [synth.text(name) for name in synth.TEMPLATES] == [each.read_text() for each in written]
