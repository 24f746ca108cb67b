"""What the functions of the middleware may do with endpoints, by the names that endpoints have."""

from __future__ import annotations

from troposphere import Ref, Sub

from atelier.contract.keys import SERVICES
from atelier.templates.middleware_parts import ENDPOINT_ROLE
from atelier.templates.parts import Statement, Text, allow, arn, pass_role

SCALING_PRINCIPAL = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE = (
    f"aws-service-role/{SCALING_PRINCIPAL}/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


def named(kind: str) -> list[Text]:
    """Return the ARNs of SageMaker's things of a kind that belong to endpoints of ours."""
    return [arn("sagemaker", f"{kind}/{each}-*") for each in SERVICES]


def following() -> list[Statement]:
    """Allow to look at endpoints, to delete them with all their parts, and to let them scale."""
    return [
        allow(["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], *named("endpoint")),
        allow(["sagemaker:DeleteEndpointConfig"], *named("endpoint-config")),
        allow(["sagemaker:DeleteModel"], *named("model")),
        *scaling(),
    ]


def making() -> list[Statement]:
    """Allow to make endpoints of models that run with the one role of endpoints."""
    return [
        allow(["sagemaker:CreateEndpoint"], *named("endpoint"), *named("endpoint-config")),
        allow(["sagemaker:CreateEndpointConfig"], *named("endpoint-config"), *named("model")),
        allow(["sagemaker:CreateModel"], *named("model")),
        pass_role("sagemaker.amazonaws.com", Ref(ENDPOINT_ROLE)),
    ]


def scaling() -> list[Statement]:
    """Allow to let endpoints scale: Application Auto Scaling acts with the rights of who asks, too."""
    variants = [arn("sagemaker", f"endpoint/{each}-*") for each in SERVICES]
    alarms = [
        arn("cloudwatch", f"alarm:{each}*") for each in ("TargetTracking-", *(f"{s}-" for s in SERVICES))
    ]
    return [
        allow(
            [
                "application-autoscaling:RegisterScalableTarget",
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:PutScalingPolicy",
            ],
            arn("application-autoscaling", "scalable-target/*"),
            StringEqualsIfExists={
                "application-autoscaling:service-namespace": "sagemaker",
                "application-autoscaling:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
            },
        ),
        allow(["sagemaker:UpdateEndpointWeightsAndCapacities"], *variants),
        allow(["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"], *alarms),
        allow(["cloudwatch:DescribeAlarms"], arn("cloudwatch", "alarm:*")),
        allow(
            ["iam:CreateServiceLinkedRole"],
            arn_of_scaling_role(),
            StringLike={"iam:AWSServiceName": SCALING_PRINCIPAL},
        ),
    ]


def arn_of_scaling_role() -> Text:
    """Return the role that Application Auto Scaling makes for itself, at the first endpoint that scales."""
    return Sub(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{SCALING_ROLE}")


def calling() -> list[Statement]:
    """Allow to have endpoints answer."""
    return [allow(["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync"], *named("endpoint"))]
