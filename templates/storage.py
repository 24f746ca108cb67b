"""Storage: the buckets of pipeline artifacts, function code, and training data with the models made of it."""

from __future__ import annotations

from troposphere import Output, Ref, Template, s3

from atelier.templates import parts


def template() -> Template:
    """Render the storage stack."""
    t = parts.stack(__doc__ or "", parts.PREFIX)
    for name, bucket in {
        "ArtifactBucketName": artifact_bucket(),
        "CodeBucketName": code_bucket(),
        "DataBucketName": data_bucket(),
    }.items():
        t.add_resource(bucket)
        t.add_resource(parts.tls_only(bucket))
        t.add_output(Output(name, Value=Ref(bucket)))
    return parts.tagged(t, "storage")


def artifact_bucket() -> s3.Bucket:
    """Hold what one action of a pipeline hands to the next, for a while."""
    return parts.bucket("ArtifactBucket", LifecycleConfiguration=_forget_after(30))


def code_bucket() -> s3.Bucket:
    """Hold function code, layers and templates under keys that name their content."""
    return parts.bucket("CodeBucket", LifecycleConfiguration=_abort_uploads())


def data_bucket() -> s3.Bucket:
    """Hold training data, checkpoints and models; versions make a mistake reversible."""
    return parts.bucket(
        "DataBucket",
        VersioningConfiguration=s3.VersioningConfiguration(Status="Enabled"),
        LifecycleConfiguration=s3.LifecycleConfiguration(
            Rules=[
                abort_rule(),
                s3.LifecycleRule(
                    Id="Checkpoints", Prefix="checkpoints/", Status="Enabled", ExpirationInDays=14
                ),
                s3.LifecycleRule(
                    Id="OldVersions",
                    Status="Enabled",
                    NoncurrentVersionExpiration=s3.NoncurrentVersionExpiration(NoncurrentDays=90),
                ),
            ]
        ),
    )


def abort_rule() -> s3.LifecycleRule:
    """Take back uploads that nobody finishes."""
    return s3.LifecycleRule(
        Id="Uploads",
        Status="Enabled",
        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=3),
    )


def _abort_uploads() -> s3.LifecycleConfiguration:
    return s3.LifecycleConfiguration(Rules=[abort_rule()])


def _forget_after(days: int) -> s3.LifecycleConfiguration:
    return s3.LifecycleConfiguration(
        Rules=[abort_rule(), s3.LifecycleRule(Id="Old", Status="Enabled", ExpirationInDays=days)]
    )
