"""What stands there and costs by the month, whether it is used or not."""

from __future__ import annotations

from collections.abc import Mapping

HOURS = 730

MONTHLY: Mapping[str, tuple[str, float]] = {
    "AWS::CloudWatch::Alarm": ("alarms", 0.10),
    "AWS::KMS::Key": ("keys", 1.00),
    "AWS::SecretsManager::Secret": ("secrets", 0.40),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        "load balancers, with two public addresses",
        (0.0225 + 2 * 0.005) * HOURS,
    ),
    "AWS::EC2::VPCEndpoint": ("interface endpoints, in two zones each", 2 * 0.01 * HOURS),
    "AWS::EC2::NatGateway": ("NAT gateways", 0.045 * HOURS),
    "AWS::ECS::Service": ("Fargate tasks (one processor, 4 GB)", 0.05826 * HOURS),
}
"""US dollars a month by type, list prices of us-east-1 as known on 22 November 2026."""
