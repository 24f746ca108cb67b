"""The workstation's stack and what its instances run at every boot."""

import email
import json
import subprocess

import pytest

from atelier import synth
from atelier.templates import workstation

SCRIPT = workstation.BOOT.read_text()
FUNCTIONS = SCRIPT.rpartition("trap ")[0]
"""The script without what it does: its functions alone."""


@pytest.fixture(scope="module")
def stack():
    return json.loads(synth.text("workstation"))


@pytest.fixture(scope="module")
def launched(stack):
    return stack["Resources"]["Workstation"]["Properties"]["LaunchTemplateData"]


def of_type(stack, kind):
    return [each["Properties"] for each in stack["Resources"].values() if each["Type"] == kind]


def rendered(launched, **values):
    """User data as an instance gets it."""
    head, script, tail = launched["UserData"]["Fn::Base64"]["Fn::Join"][1]
    text = head["Fn::Sub"]
    for name, value in values.items():
        text = text.replace(f"${{{name.replace('__', '::').replace('_', '.')}}}", value)
    return (text + script + tail).encode()


@pytest.fixture
def parts(launched):
    values = {
        "AWS__Region": "us-east-1", "WebuiImageParameter": "/a/webui/image", "Password_Id": "arn:aws:x",
        "IdleMinutes": "60",
    }  # fmt: skip
    return email.message_from_bytes(rendered(launched, **values)).get_payload()


def run(program, **environment):
    """Run the script's functions, and then *program*, in bash; return what it says."""
    whole = (
        f"STATE=$(mktemp -d); IDLE_MINUTES=2\n{FUNCTIONS.replace('STATE=/var/lib/atelier', '')}\n{program}"
    )
    ran = subprocess.run(
        ["bash"], input=whole, capture_output=True, text=True, timeout=30, check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
    )  # fmt: skip
    return ran.stdout + ran.stderr


def test_user_data_fits_and_its_script_is_one(parts, launched):
    config, script = parts
    body = script.get_payload(decode=True)
    read = subprocess.run(["bash", "-n"], input=body, capture_output=True, check=False)

    assert "text/cloud-config" == config.get_content_type()
    assert "[scripts-user, always]" in config.get_payload()
    assert body.startswith(b"#!/bin/bash\n")
    assert b"" == read.stderr
    assert 16_384 > len(rendered(launched)) + 200
    assert b"${AWS" not in body


def test_the_script_is_told_all_that_it_does_not_know(parts):
    told = {"AWS_DEFAULT_REGION", "IMAGE_PARAMETER", "PASSWORD_SECRET", "WEBUI_USER", "IDLE_MINUTES"}
    head = parts[1].get_payload(decode=True).decode().partition("# Runs at")[0]

    assert told == {
        each.partition("=")[0].removeprefix("export ") for each in head.splitlines() if "=" in each
    }


def test_no_secret_is_in_what_an_instance_is_started_with(launched):
    assert "GetSecretValue" not in json.dumps(launched)
    assert "{{resolve:" not in json.dumps(launched)


def test_only_tls_comes_in_and_from_nowhere_unless_it_is_said(stack):
    (group,) = of_type(stack, "AWS::EC2::SecurityGroup")
    (rule,) = group["SecurityGroupIngress"]

    assert (443, 443, {"Ref": "AllowedCidr"}) == (rule["FromPort"], rule["ToPort"], rule["CidrIp"])
    assert "127.0.0.1/32" == stack["Parameters"]["AllowedCidr"]["Default"]


def test_metadata_need_a_token_and_stay_out_of_containers(launched):
    options = launched["MetadataOptions"]

    assert ("required", 1) == (options["HttpTokens"], options["HttpPutResponseHopLimit"])
    assert "KeyName" not in launched


def test_disks_are_encrypted_and_the_data_outlive_the_instance(launched):
    root, data = (each["Ebs"] for each in launched["BlockDeviceMappings"])

    assert root["Encrypted"] is True is data["Encrypted"]
    assert ("gp3", "gp3") == (root["VolumeType"], data["VolumeType"])
    assert (True, False) == (root["DeleteOnTermination"], data["DeleteOnTermination"])


def test_a_spot_instance_terminates_where_another_stops(launched):
    assert {"Fn::If": ["IsSpot", "terminate", "stop"]} == launched["InstanceInitiatedShutdownBehavior"]


def test_an_instance_may_pull_read_its_two_values_and_be_reached_and_no_more(stack):
    (role,) = of_type(stack, "AWS::IAM::Role")
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    wide = {action for each in statements if each["Resource"] == ["*"] for action in each["Action"]}
    actions = {action.split(":")[0] for each in statements for action in each["Action"]}

    assert {"ecr", "ssm", "secretsmanager", "ssmmessages"} == actions
    assert {"ecr:GetAuthorizationToken"} == {each for each in wide if not each.startswith("ssmmessages:")}
    assert [{"Fn::GetAtt": ["Password", "Id"]}] == next(
        each["Resource"] for each in statements if "secretsmanager:GetSecretValue" in each["Action"]
    )


def test_nobody_chooses_the_password(stack):
    (secret,) = of_type(stack, "AWS::SecretsManager::Secret")

    assert 24 == secret["GenerateSecretString"]["PasswordLength"]
    assert "SecretString" not in secret


FAKES = 'sleep() { :; }; shutdown() { echo "shutdown $*"; exit; }; '


def test_an_instance_that_nobody_uses_shuts_down():
    assert "workstation: nobody has used it for 2 minutes\nshutdown -h now\n" == run(
        FAKES + "tag() { :; }; is_busy() { return 1; }; watch"
    )


def test_use_begins_the_wait_again():
    busy = 'is_busy() { looks=$((${looks:-0} + 1)); echo "look $looks"; [ "$looks" = 2 ]; }; '

    assert 4 == run(FAKES + "tag() { :; }; " + busy + "watch").count("look")


def test_an_instance_that_may_wait_for_ever_does():
    looked = 'is_busy() { n=$((${n:-0} + 1)); [ $n -lt 50 ] || { echo "still here"; exit; }; return 1; }; '

    assert "still here\n" == run(FAKES + "IDLE_MINUTES=0; tag() { :; }; " + looked + "watch")


def test_an_instance_shuts_down_when_its_time_is_over():
    said = run(FAKES + "tag() { echo $(($(date +%s) - 1)); }; is_busy() { return 0; }; watch")

    assert "workstation: its time is over\nshutdown -h now\n" == said


@pytest.mark.parametrize(
    ("world", "seen"),
    [
        ("docker() { echo 0.10%; }", "idle"),
        ("docker() { echo 97.32%; }", "busy"),
        ("docker() { return 1; }", "idle"),
        ('docker() { echo 0.1%; }; touch "$STATE/access.log"', "busy"),
        ('docker() { echo 0.1%; }; touch -d "-2 minutes" "$STATE/access.log"', "idle"),
        ("docker() { echo 0.1%; }; nvidia-smi() { printf '0\\n88\\n'; }", "busy"),
        ("docker() { echo 0.1%; }; nvidia-smi() { echo 0; }", "idle"),
    ],
)
def test_requests_processors_and_gpus_are_use(world, seen):
    assert f"{seen}\n" == run(f"{world}; if is_busy; then echo busy; else echo idle; fi")


def test_the_image_of_the_tag_goes_before_the_latest():
    latest = "aws() { echo latest@sha256:1; }; "

    assert "mine@sha256:2\n" == run(
        latest + "IMAGE_PARAMETER=/x; tag() { echo mine@sha256:2; }; wanted_image"
    )
    assert "latest@sha256:1\n" == run(latest + "IMAGE_PARAMETER=/x; tag() { :; }; wanted_image")


def test_the_password_is_never_an_argument():
    aws = "aws() { echo pass-word; }; WEBUI_USER=artist; PASSWORD_SECRET=arn; "
    docker = 'docker() { echo "docker $*" >&2; [ "$1" = cp ] && cat "$2" >&2; return 0; }; '
    said = run(aws + docker + "start_webui image@sha256:1 10.0.0.7")
    commands = [each for each in said.splitlines() if each.startswith("docker ")]

    assert "artist:pass-word" in said.splitlines()
    assert not [each for each in commands if "pass-word" in each]
    assert ["create", "cp", "start"] == [each.split()[1] for each in commands]


def test_a_login_that_fails_is_said_and_ends_the_pull():
    said = run(
        "aws() { echo token; }; docker() { echo denied; return 1; }; pull registry/x@sha256:1 || echo failed"
    )

    assert "denied\nfailed\n" == said
