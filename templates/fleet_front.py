"""What stands before the fleet's tasks: the load balancer, its doors, and who may pass to whom."""

from __future__ import annotations

from dataclasses import dataclass

from troposphere import GetAtt, If, Join, Ref, Template, ec2
from troposphere import elasticloadbalancingv2 as elb

from atelier.contract import fleet
from atelier.templates import fleet_parts as own
from atelier.templates.parts import Text
from atelier.templates.shared_storage import NOWHERE

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
HTTP, HTTPS = 80, 443
IDLE_SECONDS = 60
"""For so long a request may wait for its answer."""

DRAIN_SECONDS = 70
"""Longer than any request: a task that leaves cuts none off."""

LOG_PREFIX = "fleet"


@dataclass(frozen=True, kw_only=True)
class Front:
    """What the service and its scaling refer to."""

    balancer: elb.LoadBalancer
    targets: elb.TargetGroup
    tasks: ec2.SecurityGroup

    def url(self) -> Text:
        """Return where clients ask; a certificate is never for the load balancer's own name."""
        name = If("HasDomain", Ref(own.DOMAIN), GetAtt(self.balancer, "DNSName"))
        return Join("", [If("HasCertificate", "https://", "http://"), name])


def add(t: Template) -> Front:
    """Add the load balancer with its targets, and the security groups around it."""
    outer = t.add_resource(outer_group())
    inner = t.add_resource(inner_group(outer))
    t.add_resource(to_tasks(outer, inner))
    balancer = t.add_resource(load_balancer(outer))
    targets = t.add_resource(target_group())
    listen(t, balancer, targets)
    return Front(balancer=balancer, targets=targets, tasks=inner)


def outer_group() -> ec2.SecurityGroup:
    """Let in who is allowed, and out to the tasks' subnets."""
    return ec2.SecurityGroup(
        "FrontGroup",
        GroupDescription="The load balancer of the serving fleet",
        VpcId=Ref(own.VPC),
        SecurityGroupIngress=[
            ec2.SecurityGroupRule(
                Description="Who may ask",
                IpProtocol="tcp",
                FromPort=port,
                ToPort=port,
                CidrIp=Ref(own.CIDR),
            )
            for port in (HTTP, HTTPS)
        ],
        SecurityGroupEgress=[ec2.SecurityGroupRule(**NOWHERE)],
    )


def to_tasks(outer: ec2.SecurityGroup, inner: ec2.SecurityGroup) -> ec2.SecurityGroupEgress:
    """Let the load balancer out to the tasks; the groups name each other, so one rule stands alone."""
    return ec2.SecurityGroupEgress(
        "ToTasks",
        Description="The tasks",
        GroupId=GetAtt(outer, "GroupId"),
        DestinationSecurityGroupId=GetAtt(inner, "GroupId"),
        IpProtocol="tcp",
        FromPort=fleet.PORT,
        ToPort=fleet.PORT,
    )


def inner_group(outer: ec2.SecurityGroup) -> ec2.SecurityGroup:
    """Let the load balancer reach the tasks, and nobody else; let them out to AWS."""
    return ec2.SecurityGroup(
        "TaskGroup",
        GroupDescription="The tasks of the serving fleet",
        VpcId=Ref(own.VPC),
        SecurityGroupIngress=[
            ec2.SecurityGroupRule(
                Description="The load balancer",
                IpProtocol="tcp",
                FromPort=fleet.PORT,
                ToPort=fleet.PORT,
                SourceSecurityGroupId=GetAtt(outer, "GroupId"),
            )
        ],
        SecurityGroupEgress=[
            ec2.SecurityGroupRule(
                Description="AWS by TLS", IpProtocol="tcp", FromPort=HTTPS, ToPort=HTTPS, CidrIp="0.0.0.0/0"
            )
        ],
    )


def load_balancer(outer: ec2.SecurityGroup) -> elb.LoadBalancer:
    """Answer clients in both zones, and write down each request."""
    attributes: dict[str, Text] = {
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": Ref(own.LOGS),
        "access_logs.s3.prefix": LOG_PREFIX,
        "routing.http.drop_invalid_header_fields.enabled": "true",
        "idle_timeout.timeout_seconds": str(IDLE_SECONDS),
    }
    return elb.LoadBalancer(
        "Balancer",
        Type="application",
        Scheme="internet-facing",
        Subnets=own.public_subnets(),
        SecurityGroups=[GetAtt(outer, "GroupId")],
        LoadBalancerAttributes=[
            elb.LoadBalancerAttributes(Key=name, Value=value) for name, value in attributes.items()
        ],
    )


def target_group() -> elb.TargetGroup:
    """Send requests to tasks that say they can answer; one that leaves finishes what it has."""
    return elb.TargetGroup(
        "Targets",
        VpcId=Ref(own.VPC),
        TargetType="ip",
        Protocol="HTTP",
        Port=fleet.PORT,
        HealthCheckProtocol="HTTP",
        HealthCheckPath="/ping",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=4,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=3,
        Matcher=elb.Matcher(HttpCode="200"),
        TargetGroupAttributes=[
            elb.TargetGroupAttribute(Key="deregistration_delay.timeout_seconds", Value=str(DRAIN_SECONDS))
        ],
    )


def listen(t: Template, balancer: elb.LoadBalancer, targets: elb.TargetGroup) -> None:
    """Open the doors: what is no request of ours gets 404 before it reaches a task."""
    refusing = elb.Action(
        Type="fixed-response",
        FixedResponseConfig=elb.FixedResponseConfig(
            StatusCode="404",
            ContentType="application/json",
            MessageBody='{"message": "there is no such path: POST /invocations, GET /ping"}',
        ),
    )
    moving = elb.Action(
        Type="redirect",
        RedirectConfig=elb.RedirectConfig(Protocol="HTTPS", Port=str(HTTPS), StatusCode="HTTP_301"),
    )
    plain = t.add_resource(
        elb.Listener(
            "Plain",
            LoadBalancerArn=Ref(balancer),
            Protocol="HTTP",
            Port=HTTP,
            DefaultActions=[If("HasCertificate", moving, refusing)],
        )
    )
    secure = t.add_resource(
        elb.Listener(
            "Secure",
            Condition="HasCertificate",
            LoadBalancerArn=Ref(balancer),
            Protocol="HTTPS",
            Port=HTTPS,
            SslPolicy=TLS_POLICY,
            Certificates=[elb.Certificate(CertificateArn=Ref(own.CERTIFICATE))],
            DefaultActions=[refusing],
        )
    )
    t.add_resource(
        elb.ListenerRule(
            "ForwardingRule",
            ListenerArn=If("HasCertificate", Ref(secure), Ref(plain)),
            Priority=1,
            Conditions=[
                elb.Condition(
                    Field="path-pattern",
                    PathPatternConfig=elb.PathPatternConfig(Values=["/invocations", "/ping"]),
                )
            ],
            Actions=[elb.ListenerRuleAction(Type="forward", TargetGroupArn=Ref(targets))],
        )
    )
