"""The network's stack on the local cloud: its parts fit together, and what AWS refuses is refused."""

import ipaddress
import json
import uuid

import pytest
from botocore.exceptions import ClientError
from fakes import fake_cloud

from atelier import synth
from atelier.cloud.services.ec2 import plugin, vpcs
from atelier.cloud.services.resources import Request
from atelier.cloud.services.wire import ServiceError

TYPES = {each.type: each for each in plugin.PLUGIN.resources}


class Network:
    """The types of the network, made one by one in a cloud of their own."""

    def __init__(self, home):
        self.cloud = fake_cloud(home)

    def make(self, type, **properties):
        asked = Request(stack="s", logical_id="L", name=f"n{uuid.uuid4().hex}", properties=properties)
        return TYPES[f"AWS::EC2::{type}"].create(self.cloud, asked).ref

    def change(self, type, ref, **properties):
        asked = Request(stack="s", logical_id="L", name="n", properties=properties)
        return TYPES[f"AWS::EC2::{type}"].update(self.cloud, ref, asked).ref

    def drop(self, type, ref, **properties):
        TYPES[f"AWS::EC2::{type}"].delete(self.cloud, ref, properties)

    def refusal(self, what, *arguments, **properties):
        with pytest.raises(ServiceError) as refused:
            what(*arguments, **properties)
        return refused.value.code

    def vpc(self):
        return self.make("VPC", CidrBlock="10.1.0.0/16")

    def subnet(self, vpc, range="10.1.0.0/20"):
        return self.make("Subnet", VpcId=vpc, CidrBlock=range)


@pytest.fixture
def network(tmp_path):
    return Network(tmp_path)


@pytest.fixture
def stack(cloud, unique):
    """The rendered stack, deployed; what it says of itself, and its name."""
    client, made = cloud.client("cloudformation"), []

    def deploy(**parameters):
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        body = {
            "TemplateBody": synth.text("network"),
            "Parameters": given,
            "Capabilities": ["CAPABILITY_IAM"],
        }
        verb, waiter = ("update_stack", "update") if made else ("create_stack", "create")
        getattr(client, verb)(StackName=unique, **body)
        made.append(unique)
        waiting = {"Delay": 0.1, "MaxAttempts": 300}
        client.get_waiter(f"stack_{waiter}_complete").wait(StackName=unique, WaiterConfig=waiting)
        outputs = client.describe_stacks(StackName=unique)["Stacks"][0]["Outputs"]
        return {each["OutputKey"]: each["OutputValue"] for each in outputs}

    yield deploy
    client.delete_stack(StackName=unique)
    client.get_waiter("stack_delete_complete").wait(
        StackName=unique, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )


def test_the_stack_makes_two_zones_and_takes_endpoints_or_nat_as_it_is_told(cloud, stack):
    ec2, made = cloud.client("ec2"), stack()
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [made["VpcId"]]}])["Subnets"]
    zones = {each["SubnetId"]: each["AvailabilityZone"] for each in subnets}
    private = made["PrivateSubnetIds"].split(",")

    assert 2 == len({zones[each] for each in private})
    assert 2 == len({zones[each] for each in made["PublicSubnetIds"].split(",")})
    ranges = [ipaddress.ip_network(each["CidrBlock"]) for each in subnets]
    assert not any(one.overlaps(other) for one in ranges for other in ranges if one != other)
    assert {"Gateway": 2, "Interface": 8} == endpoints(ec2, made["VpcId"])
    assert {} == routes(ec2, private[0])

    assert made == stack(NatGateway="true")

    assert {"Gateway": 2} == endpoints(ec2, made["VpcId"])
    assert routes(ec2, private[0])["0.0.0.0/0"].startswith("nat-")
    assert routes(ec2, made["PublicSubnetIds"].split(",")[0])["0.0.0.0/0"].startswith("igw-")


def endpoints(ec2, vpc):
    """How many endpoints of each kind a VPC has."""
    found = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]
    kinds = [each["VpcEndpointType"] for each in found]
    return {each: kinds.count(each) for each in sorted(set(kinds))}


def routes(ec2, subnet):
    """Where a subnet's traffic goes."""
    wanted = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (table,) = ec2.describe_route_tables(Filters=wanted)["RouteTables"]
    return {
        each["DestinationCidrBlock"]: each.get("NatGatewayId") or each["GatewayId"]
        for each in table["Routes"]
    }


def test_a_security_group_shows_from_where_it_lets_in(cloud, stack):
    ec2, made = cloud.client("ec2"), stack()
    (group,) = ec2.describe_security_groups(GroupIds=[made["EndpointSecurityGroupId"]])["SecurityGroups"]
    (rule,) = group["IpPermissions"]

    assert made["VpcId"] == group["VpcId"]
    assert (443, "10.83.0.0/16") == (rule["FromPort"], rule["IpRanges"][0]["CidrIp"])


def test_a_vpc_that_is_used_cannot_be_deleted(network):
    vpc = network.vpc()
    network.subnet(vpc)

    assert "DependencyViolation" == network.refusal(network.drop, "VPC", vpc)


@pytest.mark.parametrize(
    ("table", "record", "ended"),
    [
        ("ec2.instances", {"Groups": ["GROUP"], "State": "running"}, {"State": "terminated"}),
        ("efs.mount-targets", {"SubnetId": "SUBNET", "SecurityGroupIds": ["GROUP"]}, None),
        ("elasticloadbalancing.load-balancers", {"Subnets": ["SUBNET"], "SecurityGroups": ["GROUP"]}, None),
        (
            "ecs.tasks",
            {"Network": {"subnets": ["SUBNET"], "securityGroups": ["GROUP"]}, "lastStatus": "RUNNING"},
            {"lastStatus": "STOPPED"},
        ),
        ("sagemaker.notebook-instances", {"SubnetId": "SUBNET", "SecurityGroups": None}, None),
    ],
)
def test_what_has_an_address_keeps_its_subnet_and_groups(network, table, record, ended):
    vpc = network.vpc()
    subnet, group = network.subnet(vpc), network.make("SecurityGroup", GroupDescription="x", VpcId=vpc)
    text = json.dumps(record).replace("SUBNET", subnet).replace("GROUP", group)
    rows = network.cloud.store.table(table)
    rows.put("one", json.loads(text))

    for type, id in (("Subnet", subnet), ("SecurityGroup", group)):
        if id in text:
            assert "DependencyViolation" == network.refusal(network.drop, type, id)

    if ended:
        rows.change("one", **ended)
    else:
        rows.delete("one")
    network.drop("Subnet", subnet)
    network.drop("SecurityGroup", group)


@pytest.mark.parametrize(
    ("range", "code"),
    [
        ("10.2.0.0/20", "InvalidSubnet.Range"),
        ("10.1.8.0/24", "InvalidSubnet.Conflict"),
        ("10.1.0.0/30", "InvalidSubnet.Range"),
        ("10.1.0.1/20", "InvalidParameterValue"),
    ],
)
def test_a_subnet_must_fit(network, range, code):
    vpc = network.vpc()
    network.subnet(vpc)

    assert code == network.refusal(network.subnet, vpc, range)


def test_a_subnet_keeps_its_id_when_only_tags_change(network):
    vpc = network.vpc()
    id = network.subnet(vpc)
    tags = [{"Key": "a", "Value": "b"}]

    assert id == network.change("Subnet", id, VpcId=vpc, CidrBlock="10.1.0.0/20", Tags=tags)
    assert id != network.change("Subnet", id, VpcId=vpc, CidrBlock="10.1.16.0/20")


def test_a_nat_gateway_needs_an_internet_gateway(network):
    vpc = network.vpc()
    subnet, address = (
        network.subnet(vpc),
        TYPES["AWS::EC2::EIP"].create(
            network.cloud, Request(stack="s", logical_id="E", name="e", properties={"Domain": "vpc"})
        ),
    )
    where = {"SubnetId": subnet, "AllocationId": address.attributes["AllocationId"]}

    assert "Gateway.NotAttached" == network.refusal(network.make, "NatGateway", **where)

    network.make("VPCGatewayAttachment", VpcId=vpc, InternetGatewayId=network.make("InternetGateway"))
    assert network.make("NatGateway", **where).startswith("nat-")


def test_a_group_that_a_rule_names_outlives_that_rule_only(network):
    vpc = network.vpc()
    clients, servers = (network.make("SecurityGroup", GroupDescription=each, VpcId=vpc) for each in "ab")
    rule = {"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049}
    added = network.make("SecurityGroupIngress", GroupId=servers, SourceSecurityGroupId=clients, **rule)

    assert "DependencyViolation" == network.refusal(network.drop, "SecurityGroup", clients)
    assert "InvalidPermission.Duplicate" == network.refusal(
        network.make, "SecurityGroupIngress", GroupId=servers, SourceSecurityGroupId=clients, **rule
    )

    network.drop("SecurityGroupIngress", added)
    network.drop("SecurityGroup", clients)


def test_a_second_private_name_for_a_service_is_refused(network):
    vpc = network.vpc()
    asked = {
        "VpcId": vpc,
        "ServiceName": "com.amazonaws.us-east-1.sts",
        "VpcEndpointType": "Interface",
        "SubnetIds": [network.subnet(vpc)],
        "PrivateDnsEnabled": True,
    }
    network.make("VPCEndpoint", **asked)

    assert "InvalidParameter" == network.refusal(network.make, "VPCEndpoint", **asked)


def test_subnets_and_groups_of_two_vpcs_do_not_go_together(network):
    one, other = network.vpc(), network.vpc()
    subnet = network.subnet(one)
    group = network.make("SecurityGroup", GroupDescription="x", VpcId=other)

    with pytest.raises(ServiceError, match="not of one VPC"):
        vpcs.network_of(network.cloud, [subnet], [group])


def test_a_subnet_that_is_not_there_is_named(cloud):
    with pytest.raises(ClientError, match="subnet-0123"):
        cloud.client("ec2").describe_subnets(SubnetIds=["subnet-0123"])


def test_of_what_others_own_s3s_endpoint_lets_images_and_packages_be_read_alone():
    made = json.loads(synth.text("network"))["Resources"]
    _, *others = made["ObjectsEndpoint"]["Properties"]["PolicyDocument"]["Statement"]

    assert [["s3:GetObject"]] * 2 == [each["Action"] for each in others]
    assert ["prod-${AWS::Region}-starport-layer-bucket/*", "al2023-repos-${AWS::Region}-de612dc2/*"] == [
        each["Resource"][0]["Fn::Sub"].rpartition(":::")[2] for each in others
    ]


def test_the_endpoints_let_through_this_accounts_own_business_alone():
    made = json.loads(synth.text("network"))["Resources"]
    statements = [
        statement
        for each in made.values()
        if each["Type"] == "AWS::EC2::VPCEndpoint"
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "*"
    ]

    assert 10 == len(statements)
    assert all(
        [{"Ref": "AWS::AccountId"}] == list(each["Condition"]["StringEquals"].values()) for each in statements
    )
