"""What the fleet's templates share: the parameters of its stack."""

from __future__ import annotations

from troposphere import Parameter, Ref, Split

from atelier.templates import parts

SHARED_PATH = "/mnt/shared"


def _given(name: str, what: str) -> Parameter:
    return Parameter(name, Type="String", Description=what)


VPC = _given("VpcId", "The VPC of the load balancer and the tasks.")
PUBLIC = _given("PublicSubnetIds", "The subnets of the load balancer, with commas between.")
PRIVATE = _given("PrivateSubnetIds", "The subnets of the tasks, with commas between.")
BUCKET = _given("ModelsBucketName", "The bucket where models land.")
LOGS = _given("FleetLogBucketName", "The bucket of the load balancer's access logs.")
TABLE = _given("FleetTableName", "The table of what serves, is tried, and has landed.")
FILE_SYSTEM = _given("FileSystemId", "The file system that jobs and tasks share.")
FILE_SYSTEM_ARN = _given("FileSystemArn", "Its ARN.")
ACCESS_POINT = _given("AccessPointId", "The door by which tasks enter it.")
ACCESS_POINT_ARN = _given("AccessPointArn", "Its ARN.")
FILE_SYSTEM_CLIENTS = _given("FileSystemClientGroupId", "The security group of who may mount it.")
IMAGE = Parameter(
    "FleetImage", Type="String", Default="none", Description="The image that tasks run, by its digest."
)

CERTIFICATE = Parameter(
    "FleetCertificateArn",
    Type="String",
    Default="",
    Description="A certificate in ACM; with one, the load balancer speaks TLS and sends plain HTTP there.",
)
DOMAIN = Parameter(
    "FleetDomain",
    Type="String",
    Default="",
    AllowedPattern=r"^$|^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$",
    ConstraintDescription="a name such as models.example.com, or empty for the load balancer's own",
    Description="The name that the certificate is for; let it lead to the load balancer's.",
)
CIDR = Parameter(
    "FleetAllowedCidr",
    Type="String",
    Default="127.0.0.1/32",
    AllowedPattern=r"\d{1,3}(\.\d{1,3}){3}/\d{1,2}",
    ConstraintDescription="an IPv4 range such as 203.0.113.0/24",
    Description="Whose addresses may reach the load balancer; nobody's unless it is set.",
)
SPOT = Parameter(
    "FleetSpot",
    Type="String",
    Default="false",
    AllowedValues=["true", "false"],
    Description="Run all tasks but the first on spare capacity, which is cheaper and may be taken away.",
)
TASKS = Parameter(
    "FleetTasks",
    Type="Number",
    Default="0",
    MinValue=0,
    MaxValue=100,
    Description="The tasks there are; a deployment says how many it finds, and none before the first model.",
)
MIN_TASKS = Parameter(
    "FleetMinTasks", Type="Number", Default="1", MinValue=1, MaxValue=100, Description="The fewest tasks."
)
MAX_TASKS = Parameter(
    "FleetMaxTasks", Type="Number", Default="4", MinValue=1, MaxValue=100, Description="The most tasks."
)
REQUESTS = Parameter(
    "FleetRequestsPerTask",
    Type="Number",
    Default="600",
    MinValue=1,
    Description="The requests a minute to each task that scaling aims at.",
)
CPU = Parameter(
    "FleetCpu",
    Type="String",
    Default="1024",
    AllowedValues=["512", "1024", "2048", "4096"],
    Description="The processor of a task; 1024 is one core.",
)
MEMORY = Parameter(
    "FleetMemory",
    Type="String",
    Default="4096",
    AllowedPattern=r"\d{4,6}",
    Description="The memory of a task in MiB; it must be one that Fargate has for that processor.",
)
STARTUP = Parameter(
    "FleetStartupSeconds",
    Type="Number",
    Default="300",
    MinValue=10,
    MaxValue=7200,
    Description="For how long a task may load its model before its health counts.",
)
WINDOW = Parameter(
    "FleetWindowSeconds",
    Type="Number",
    Default="3",
    MinValue=1,
    MaxValue=300,
    Description="For how long what lands is gathered: a burst of models is one deployment.",
)
PROBE = Parameter(
    "FleetProbe",
    Type="String",
    Default="",
    MaxLength=1000,
    Description="What models read to prove themselves; empty: plain English. For models of other languages.",
)
MOUNTS = Parameter(
    "FleetMountsFileSystem",
    Type="String",
    Default="true",
    AllowedValues=["true", "false"],
    Description=f"Whether tasks see the shared file system, read-only, under {SHARED_PATH}.",
)

SHARED = (
    *(parts.PREFIX, parts.CODE_BUCKET, parts.CODE_KEY, parts.LAYER_KEY, parts.IMAGE_REPOSITORY),
    *(VPC, PUBLIC, PRIVATE, BUCKET, LOGS, TABLE, IMAGE),
    *(FILE_SYSTEM, FILE_SYSTEM_ARN, ACCESS_POINT, ACCESS_POINT_ARN, FILE_SYSTEM_CLIENTS),
)
CHOICES = (
    *(CERTIFICATE, DOMAIN, CIDR, SPOT, TASKS, MIN_TASKS, MAX_TASKS, REQUESTS),
    *(CPU, MEMORY, STARTUP, WINDOW, PROBE, MOUNTS),
)


def public_subnets() -> Split:
    """Return where the load balancer stands."""
    return Split(",", Ref(PUBLIC))


def private_subnets() -> Split:
    """Return where tasks run."""
    return Split(",", Ref(PRIVATE))
