"""Serving fleet: tasks behind a load balancer that serve the newest good model of the shared bucket."""

from __future__ import annotations

from troposphere import Equals, GetAtt, If, Not, NoValue, Output, Ref, Sub, Template, ecs, iam, logs

from atelier.contract import fleet
from atelier.templates import fleet_front, fleet_functions, fleet_scaling, parts
from atelier.templates import fleet_parts as own
from atelier.templates.parts import Statement, allow, arn

PULLING = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
SHARED = "shared"
STOP_SECONDS = 90
"""Longer than a task drains by itself at SIGTERM, which takes longer than any request."""


def template() -> Template:
    """Render the fleet's stack."""
    t = parts.stack(__doc__ or "", *own.SHARED, *own.CHOICES)
    t.add_rule("DomainHasCertificate", parts.together(own.DOMAIN, own.CERTIFICATE))
    t.add_condition("HasCertificate", Not(Equals(Ref(own.CERTIFICATE), "")))
    t.add_condition("HasDomain", Not(Equals(Ref(own.DOMAIN), "")))
    t.add_condition("HasTasks", Not(Equals(Ref(own.TASKS), 0)))
    t.add_condition("IsSpot", Equals(Ref(own.SPOT), "true"))
    t.add_condition("HasFileSystem", Equals(Ref(own.MOUNTS), "true"))
    t.add_resource(parts.layer())
    front = fleet_front.add(t)
    group = t.add_resource(parts.log_group("TaskLog"))
    roles = [t.add_resource(execution_role(group)), t.add_resource(task_role())]
    definition = t.add_resource(task_definition(roles, group))
    cluster = t.add_resource(ecs.Cluster("Cluster"))
    providers = t.add_resource(capacity(cluster))
    running = t.add_resource(service(front, cluster, providers, definition))
    topic = fleet_functions.add(t, cluster=cluster, service=running, group=group, roles=roles)
    fleet_scaling.add(t, front, cluster, running, topic)
    t.add_output(Output("FleetUrl", Value=front.url()))
    t.add_output(Output("FleetClusterName", Value=Ref(cluster)))
    t.add_output(Output("FleetServiceName", Value=GetAtt(running, "Name")))
    t.add_output(Output("FleetModelParameter", Value=Sub(fleet.parameter("${Prefix}"))))
    t.add_output(Output("FleetReportsTopicArn", Value=Ref(topic)))
    t.add_output(Output("FleetLoadBalancerArn", Value=Ref(front.balancer)))
    t.add_output(Output("FleetLogGroupName", Value=Ref(group)))
    tagged = parts.tagged(t, "serving-fleet")
    del tagged.resources["TaskNumber"].properties["Tags"]  # it belongs to the service, which has them
    return tagged


def execution_role(group: logs.LogGroup) -> iam.Role:
    """Let ECS pull the image and write what the container says."""
    return parts.role(
        "ExecutionRole",
        "ecs-tasks.amazonaws.com",
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(PULLING, arn("ecr", "repository/${ImageRepositoryName}")),
        parts.writes(group),
    )


def task_role() -> iam.Role:
    """Let the container read the models of the fleet, and which of them to serve."""
    named = fleet.parameter("${Prefix}")
    made = parts.role(
        "TaskRole",
        "ecs-tasks.amazonaws.com",
        allow(["s3:GetObject", "s3:GetObjectVersion"], *parts.objects(own.BUCKET, f"{fleet.PREFIX}*")),
        allow(["ssm:GetParameter"], *(arn("ssm", f"parameter{each}") for each in (named, f"{named}:*"))),
    )
    policy = made.Policies[0].PolicyDocument
    policy["Statement"].append(If("HasFileSystem", mounting(), NoValue))
    return made


def mounting() -> Statement:
    """Allow to read what jobs and tasks share, through the one door, and to write nothing."""
    return allow(
        ["elasticfilesystem:ClientMount"],
        Ref(own.FILE_SYSTEM_ARN),
        StringEquals={"elasticfilesystem:AccessPointArn": Ref(own.ACCESS_POINT_ARN)},
    )


def task_definition(roles: list[iam.Role], group: logs.LogGroup) -> ecs.TaskDefinition:
    """Say what a task is; the landing function makes the revisions that name a version of the parameter."""
    execution, task = roles
    volume = ecs.Volume(
        Name=SHARED,
        EFSVolumeConfiguration=ecs.EFSVolumeConfiguration(
            FilesystemId=Ref(own.FILE_SYSTEM),
            TransitEncryption="ENABLED",
            AuthorizationConfig=ecs.AuthorizationConfig(AccessPointId=Ref(own.ACCESS_POINT), IAM="ENABLED"),
        ),
    )
    return ecs.TaskDefinition(
        "Task",
        Family=Sub("${Prefix}-fleet"),
        RequiresCompatibilities=["FARGATE"],
        NetworkMode="awsvpc",
        Cpu=Ref(own.CPU),
        Memory=Ref(own.MEMORY),
        ExecutionRoleArn=GetAtt(execution, "Arn"),
        TaskRoleArn=GetAtt(task, "Arn"),
        ContainerDefinitions=[container(group)],
        Volumes=If("HasFileSystem", [volume], NoValue),
    )


def container(group: logs.LogGroup) -> ecs.ContainerDefinition:
    """Load the model that the parameter names, prove it, and answer."""
    shared = ecs.MountPoint(SourceVolume=SHARED, ContainerPath=own.SHARED_PATH, ReadOnly=True)
    log = {
        "awslogs-group": Ref(group),
        "awslogs-region": Ref("AWS::Region"),
        "awslogs-stream-prefix": "fleet",
    }
    return ecs.ContainerDefinition(
        Name=fleet.CONTAINER,
        Image=Ref(own.IMAGE),
        Essential=True,
        Command=["fleet"],
        PortMappings=[ecs.PortMapping(ContainerPort=fleet.PORT, Protocol="tcp")],
        Environment=[
            ecs.Environment(Name=fleet.MODEL_PARAMETER, Value=Sub(fleet.parameter("${Prefix}"))),
            ecs.Environment(Name="AWS_REGION", Value=Ref("AWS::Region")),
            ecs.Environment(Name="GPT_NEO_PROBE", Value=Ref(own.PROBE)),
        ],
        MountPoints=If("HasFileSystem", [shared], NoValue),
        StopTimeout=STOP_SECONDS,
        LogConfiguration=ecs.LogConfiguration(LogDriver="awslogs", Options=log),
    )


def capacity(cluster: ecs.Cluster) -> ecs.ClusterCapacityProviderAssociations:
    """Let the cluster run on Fargate, and on its spare capacity."""
    ordinary = ecs.CapacityProviderStrategy(CapacityProvider="FARGATE", Weight=1)
    return ecs.ClusterCapacityProviderAssociations(
        "Capacity",
        Cluster=Ref(cluster),
        CapacityProviders=["FARGATE", "FARGATE_SPOT"],
        DefaultCapacityProviderStrategy=[ordinary],
    )


def service(
    front: fleet_front.Front,
    cluster: ecs.Cluster,
    providers: ecs.ClusterCapacityProviderAssociations,
    definition: ecs.TaskDefinition,
) -> ecs.Service:
    """Keep tasks running; a deployment whose tasks do not get healthy goes back to the one before.

    It begins without tasks, for there is no model yet; the first model that lands starts the first.
    """
    always = ecs.CapacityProviderStrategyItem(CapacityProvider="FARGATE", Base=1, Weight=1)
    spare = ecs.CapacityProviderStrategyItem(CapacityProvider="FARGATE_SPOT", Weight=4)
    return ecs.Service(
        "Service",
        Cluster=Ref(cluster),
        TaskDefinition=Ref(definition),
        DesiredCount=Ref(own.TASKS),
        CapacityProviderStrategy=If("IsSpot", [always, spare], [always]),
        DeploymentConfiguration=ecs.DeploymentConfiguration(
            MinimumHealthyPercent=100,
            MaximumPercent=200,
            DeploymentCircuitBreaker=ecs.DeploymentCircuitBreaker(Enable=True, Rollback=True),
        ),
        HealthCheckGracePeriodSeconds=Ref(own.STARTUP),
        LoadBalancers=[
            ecs.LoadBalancer(
                ContainerName=fleet.CONTAINER, ContainerPort=fleet.PORT, TargetGroupArn=Ref(front.targets)
            )
        ],
        NetworkConfiguration=ecs.NetworkConfiguration(
            AwsvpcConfiguration=ecs.AwsvpcConfiguration(
                AssignPublicIp="DISABLED",
                SecurityGroups=[
                    GetAtt(front.tasks, "GroupId"),
                    If("HasFileSystem", Ref(own.FILE_SYSTEM_CLIENTS), NoValue),
                ],
                Subnets=own.private_subnets(),
            )
        ),
        PropagateTags="SERVICE",
        DependsOn=[providers.title, "ForwardingRule"],
    )
