"""The services of ours that the gateway runs: registration is explicit."""

from __future__ import annotations

from atelier.cloud.services import acm
from atelier.cloud.services.autoscaling import plugin as autoscaling
from atelier.cloud.services.codebuild import service as codebuild
from atelier.cloud.services.codecommit import plugin as codecommit
from atelier.cloud.services.codepipeline import plugin as codepipeline
from atelier.cloud.services.ec2 import plugin as ec2
from atelier.cloud.services.ecr import plugin as ecr
from atelier.cloud.services.ecs import plugin as ecs
from atelier.cloud.services.efs import plugin as efs
from atelier.cloud.services.elasticloadbalancing import plugin as elasticloadbalancing
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.sagemaker import plugin as sagemaker

PLUGINS: tuple[Plugin, ...] = (
    ecr.PLUGIN,  # first: builds and jobs that others take up again log in, pull and push
    elasticloadbalancing.PLUGIN,  # before what registers targets
    acm.PLUGIN,
    autoscaling.PLUGIN,
    codebuild.PLUGIN,
    codecommit.PLUGIN,
    codepipeline.PLUGIN,
    ec2.PLUGIN,
    efs.PLUGIN,
    ecs.PLUGIN,
    sagemaker.PLUGIN,
)
