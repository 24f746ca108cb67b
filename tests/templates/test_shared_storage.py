"""The shared file system's stack: encrypted, and reached by whom it must and by nobody else."""

import json

import pytest

from atelier import synth
from atelier.cloud.services.efs import policy

ROLE = "arn:aws:iam::000000000000:role/reader"
POINT = {"elasticfilesystem:accesspointarn": "arn:aws:elasticfilesystem:us-east-1:0:access-point/fsap-1"}
VIA_TARGET = {"elasticfilesystem:accessedviamounttarget": "true"}


@pytest.fixture(scope="module")
def resources():
    return json.loads(synth.text("shared-storage"))["Resources"]


def kind(resources, type):
    return {name: each["Properties"] for name, each in resources.items() if each["Type"] == type}


def chosen(value, *, trains):
    """The policy as CloudFormation makes it, with or without training."""
    if isinstance(value, dict) and "Fn::If" in value:
        _, yes, no = value["Fn::If"]
        return chosen(yes if trains else no, trains=trains)
    if isinstance(value, dict):
        return {key: chosen(each, trains=trains) for key, each in value.items()}
    if isinstance(value, list):
        kept = [chosen(each, trains=trains) for each in value]
        return [each for each in kept if each != {"Ref": "AWS::NoValue"}]
    return value


def decision(resources, *, trains, tls, role=None, point=False, action=policy.MOUNT):
    document = chosen(resources["FileSystem"]["Properties"]["FileSystemPolicy"], trains=trains)
    keys = {
        "aws:securetransport": str(tls).lower(),
        **VIA_TARGET,
        **(POINT if point else {}),
        **({"aws:principalarn": role} if role else {}),
    }
    return policy.decide(json.dumps(document), action, keys, "arn:aws:elasticfilesystem:::file-system/fs-1")


def test_the_file_system_is_encrypted_backed_up_and_cheaper_when_it_is_not_read(resources):
    files = resources["FileSystem"]["Properties"]

    assert files["Encrypted"]
    assert {"Status": "ENABLED"} == files["BackupPolicy"]
    assert {"TransitionToIA": "AFTER_30_DAYS"} in files["LifecyclePolicies"]


def test_mount_targets_let_in_their_clients_at_one_port_and_nobody_else(resources):
    (rule,) = kind(resources, "AWS::EC2::SecurityGroupIngress").values()
    groups = kind(resources, "AWS::EC2::SecurityGroup").values()

    assert (2049, 2049, "tcp") == (rule["FromPort"], rule["ToPort"], rule["IpProtocol"])
    assert {"Fn::GetAtt": ["ClientGroup", "GroupId"]} == rule["SourceSecurityGroupId"]
    assert [] == [each for each in groups if "SecurityGroupIngress" in each]
    for each in kind(resources, "AWS::EFS::MountTarget").values():
        assert [{"Fn::GetAtt": ["FileSystemGroup", "GroupId"]}] == each["SecurityGroups"]


def test_clients_reach_the_mount_targets_only(resources):
    clients = resources["ClientGroup"]["Properties"]
    (rule,) = kind(resources, "AWS::EC2::SecurityGroupEgress").values()

    assert ["127.0.0.1/32"] == [each["CidrIp"] for each in clients["SecurityGroupEgress"]]
    assert (2049, 2049) == (rule["FromPort"], rule["ToPort"])


def test_the_access_point_is_entered_as_somebody_who_is_not_root(resources):
    assert {"Uid": "1000", "Gid": "1000"} == resources["AccessPoint"]["Properties"]["PosixUser"]


@pytest.mark.parametrize("trains", [False, True])
def test_a_role_comes_in_by_tls_and_the_access_point_if_its_own_policies_say_so(resources, trains):
    asked = {"trains": trains, "role": ROLE}

    assert "Deny" == decision(resources, tls=False, point=True, **asked)
    assert "Deny" == decision(resources, tls=True, **asked)
    assert decision(resources, tls=True, point=True, **asked) is None
    assert decision(resources, tls=True, point=True, action=policy.WRITE, **asked) is None


def test_nobody_in_particular_comes_in_unless_jobs_train_there(resources):
    assert "Deny" == decision(resources, trains=False, tls=False)
    assert decision(resources, trains=False, tls=True, point=True) is None
    assert "Allow" == decision(resources, trains=True, tls=False)
    assert "Allow" == decision(resources, trains=True, tls=False, action=policy.WRITE)
