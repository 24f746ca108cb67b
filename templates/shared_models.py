"""Shared models: the bucket where models land that the fleet serves, and what is remembered of each."""

from __future__ import annotations

from typing import Any

from troposphere import GetAtt, Join, Output, Ref, Sub, Template, s3

from atelier.contract import tables
from atelier.templates import parts
from atelier.templates.middleware_state import PROTECTION, indexed
from atelier.templates.storage import abort_rule

KEPT_DAYS = 90
KEPT_VERSIONS = 100
"""The most that S3 takes: what serves must outlast what lands after it under its name, good or not."""

LOG_DAYS = 90
LOG_WRITER = "logdelivery.elasticloadbalancing.amazonaws.com"


def template() -> Template:
    """Render the stack of what outlives the fleet."""
    t = parts.stack(__doc__ or "", parts.PREFIX, PROTECTION)
    models, logs = t.add_resource(models_bucket()), t.add_resource(log_bucket())
    t.add_resource(parts.tls_only(models))
    t.add_resource(log_policy(logs))
    table = t.add_resource(indexed("FleetHistory", tables.FLEET))
    t.add_output(Output("ModelsBucketName", Value=Ref(models)))
    t.add_output(Output("ModelsBucketArn", Value=GetAtt(models, "Arn")))
    t.add_output(Output("FleetLogBucketName", Value=Ref(logs)))
    t.add_output(Output("FleetTableName", Value=Ref(table)))
    return parts.tagged(t, "shared-models")


def models_bucket() -> s3.Bucket:
    """Hold models; a task reads the version that it was told, whatever landed since."""
    old = s3.NoncurrentVersionExpiration(NoncurrentDays=KEPT_DAYS, NewerNoncurrentVersions=KEPT_VERSIONS)
    return parts.bucket(
        "ModelsBucket",
        VersioningConfiguration=s3.VersioningConfiguration(Status="Enabled"),
        NotificationConfiguration=s3.NotificationConfiguration(
            EventBridgeConfiguration=s3.EventBridgeConfiguration(EventBridgeEnabled=True)
        ),
        LifecycleConfiguration=s3.LifecycleConfiguration(
            Rules=[
                abort_rule(),
                s3.LifecycleRule(Id="OldVersions", Status="Enabled", NoncurrentVersionExpiration=old),
            ]
        ),
    )


def log_bucket() -> s3.Bucket:
    """Hold what the load balancer writes down of each request, for a while."""
    forget = s3.LifecycleRule(Id="Old", Status="Enabled", ExpirationInDays=LOG_DAYS)
    return parts.bucket("FleetLogs", LifecycleConfiguration=s3.LifecycleConfiguration(Rules=[forget]))


def log_policy(bucket: s3.Bucket) -> s3.BucketPolicy:
    """Let the load balancers of this account write their logs, and nobody else write anything."""
    policy = parts.tls_only(bucket)
    balancers = "arn:${AWS::Partition}:elasticloadbalancing:${AWS::Region}:${AWS::AccountId}:loadbalancer/*"
    writing: dict[str, Any] = {
        "Sid": "AccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": LOG_WRITER},
        "Action": ["s3:PutObject"],
        "Resource": [Join("", [GetAtt(bucket, "Arn"), Sub("/fleet/AWSLogs/${AWS::AccountId}/*")])],
        "Condition": {"ArnLike": {"aws:SourceArn": Sub(balancers)}},
    }
    policy.PolicyDocument["Statement"].append(writing)
    return policy
