"""Registry: where models, the images that made them and the source of both are kept."""

from __future__ import annotations

import json

from troposphere import GetAtt, Output, Ref, Sub, Template, codecommit, dynamodb, ecr

from atelier.templates import parts


def template() -> Template:
    """Render the registry stack."""
    t = parts.stack(__doc__ or "", parts.PREFIX)
    table = t.add_resource(model_table())
    images = t.add_resource(image_repository())
    source = t.add_resource(source_repository())
    t.add_output(Output("ModelTableName", Value=Ref(table)))
    t.add_output(Output("ImageRepositoryName", Value=Ref(images)))
    t.add_output(Output("ImageRepositoryUri", Value=GetAtt(images, "RepositoryUri")))
    t.add_output(Output("SourceRepositoryName", Value=GetAtt(source, "Name")))
    t.add_output(Output("SourceRepositoryCloneUrl", Value=GetAtt(source, "CloneUrlHttp")))
    return parts.tagged(t, "registry")


def model_table() -> dynamodb.Table:
    """Keep one item per model version; version 0 counts, and ``run#<id>`` finds what a run recorded."""
    return dynamodb.Table(
        "Models",
        KeySchema=[
            dynamodb.KeySchema(AttributeName="model", KeyType="HASH"),
            dynamodb.KeySchema(AttributeName="version", KeyType="RANGE"),
        ],
        AttributeDefinitions=[
            dynamodb.AttributeDefinition(AttributeName="model", AttributeType="S"),
            dynamodb.AttributeDefinition(AttributeName="version", AttributeType="N"),
        ],
        BillingMode="PAY_PER_REQUEST",
        PointInTimeRecoverySpecification=dynamodb.PointInTimeRecoverySpecification(
            PointInTimeRecoveryEnabled=True
        ),
        SSESpecification=dynamodb.SSESpecification(SSEEnabled=True),
        DeletionPolicy="Retain",
        UpdateReplacePolicy="Retain",
    )


def image_repository() -> ecr.Repository:
    """Keep training images; a tag is a commit and never moves."""
    forget = {
        "rulePriority": 1,
        "description": "images that no commit names",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": 14,
        },
        "action": {"type": "expire"},
    }
    return ecr.Repository(
        "TrainingImages",
        RepositoryName=Sub("${Prefix}/gpt-neo"),
        ImageTagMutability="IMMUTABLE",
        ImageScanningConfiguration=ecr.ImageScanningConfiguration(ScanOnPush=True),
        LifecyclePolicy=ecr.LifecyclePolicy(LifecyclePolicyText=json.dumps({"rules": [forget]})),
        DeletionPolicy="Retain",
        UpdateReplacePolicy="Retain",
    )


def source_repository() -> codecommit.Repository:
    """Keep this project's own source, from which the pipeline rebuilds everything else."""
    return codecommit.Repository(
        "Source",
        RepositoryName=Ref(parts.PREFIX),
        RepositoryDescription="The source of models, images, functions and stacks",
        DeletionPolicy="Retain",
        UpdateReplacePolicy="Retain",
    )
