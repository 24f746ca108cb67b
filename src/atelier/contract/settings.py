"""What each family of functions must know about the stack it runs in.

A template renders one of these classes as a function's variables and the function reads the same class back,
so that a misspelt name fails when templates are rendered and a missing one when the function starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import TypeVar

from atelier.contract.values import Value

Settings = TypeVar("Settings")


class StartFlowSettings(Value):
    """What starts and follows the train-and-deploy flow."""

    state_machine_arn: str
    data_bucket: str


class RegisterSettings(Value):
    """What approves a recorded version."""

    model_table: str
    pipeline: str


class PublishSettings(Value):
    """What moves the stable endpoint and the serving API to an approved version.

    It lands in the *fleet_bucket* too, unless that is ``none``.
    """

    model_table: str
    candidate_endpoint: str
    stable_endpoint: str
    code_bucket: str
    serving_stack: str
    serving_role_arn: str
    fleet_bucket: str
    prefix: str


class RejectSettings(Value):
    """What takes back a run that was rejected, superseded or stopped."""

    state_machine_arn: str
    model_table: str
    candidate_endpoint: str


class FlowSettings(Value):
    """What the states of the train-and-deploy flow share."""

    model_table: str
    candidate_endpoint: str


class ServingSettings(Value):
    """What answers the requests of the serving API."""

    model_table: str
    stable_endpoint: str


class CheckpointsSettings(Value):
    """What answers the operations on checkpoints; *allow_pickled* is true or false."""

    checkpoints_table: str
    bucket: str
    downloads_function: str
    allow_pickled: str


class DownloadsSettings(Value):
    """What fetches checkpoints from URLs, each of at most *largest_download* bytes."""

    checkpoints_table: str
    bucket: str
    allow_pickled: str
    largest_download: str


class DigestsSettings(Value):
    """What computes the digests of checkpoints' files."""

    checkpoints_table: str
    bucket: str


class EndpointsSettings(Value):
    """What answers the operations on endpoints: it makes them of these parts.

    An image must be in *registry*, the host of this account's ECR in this region.
    """

    endpoints_table: str
    bucket: str
    endpoint_role_arn: str
    endpoint_image: str
    registry: str
    success_topic_arn: str
    error_topic_arn: str


class EndpointWatchSettings(Value):
    """What follows the states of endpoints."""

    endpoints_table: str


class InferencesSettings(Value):
    """What answers the operations on inferences."""

    inferences_table: str
    endpoints_table: str
    checkpoints_table: str
    bucket: str


class ResultsSettings(Value):
    """What takes the results of asynchronous inferences, of which it hears through a queue."""

    inferences_table: str
    bucket: str
    notices_url: str


class ReconcilerSettings(Value):
    """What looks after endpoints and inferences that no event has brought to an end."""

    inferences_table: str
    endpoints_table: str
    bucket: str


class WorkSettings(Value):
    """What begins, shows and stops trainings, merges and crops; *work_instance_type* is for the last two."""

    work_table: str
    datasets_table: str
    checkpoints_table: str
    bucket: str
    work_machine_arn: str
    work_instance_type: str


class WorkStepsSettings(Value):
    """What keeps the course of trainings, merges and crops, as their state machine tells it."""

    work_table: str
    datasets_table: str
    checkpoints_table: str
    bucket: str


class AccessSettings(Value):
    """What every function of the middleware must know to tell who asks, and whether too often."""

    accounts_table: str
    rates_table: str
    user_requests: str
    """Requests of one user in ten seconds."""


class AuthorizerSettings(Value):
    """What recognises tokens."""

    accounts_table: str


class DeploymentTokenSettings(Value):
    """What keeps the deployment's token in step with its secret."""

    accounts_table: str
    secret_arn: str


class TrackSettings(Value):
    """What looks whether upstream has moved."""

    history_table: str
    pipeline: str
    source_repository: str
    source_branch: str
    reports_topic_arn: str


class ChangesSettings(Value):
    """What starts the pipeline of the WebUI's image for pushes that touch it."""

    pipeline: str


class PublishImageSettings(Value):
    """What makes a tested image of the WebUI the latest one."""

    history_table: str
    parameter_path: str
    reports_topic_arn: str


class FollowSettings(Value):
    """What keeps the history of the WebUI's images."""

    history_table: str
    pipeline: str
    reports_topic_arn: str


class FleetSettings(Value):
    """What brings the models that land to the fleet, and tells how that went."""

    fleet_bucket: str
    fleet_table: str
    model_parameter: str
    cluster: str
    service: str
    log_group: str
    min_tasks: str
    startup_seconds: str
    reports_topic_arn: str


class LandingSettings(FleetSettings):
    """What is called for models that land, by a queue."""

    landings_url: str


class MissingSettings(Exception):
    """Variables that a function needs are not set."""


def from_environment(cls: type[Settings], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read *cls* from the function's variables; name the class and every variable that is missing."""
    names = [each.name for each in fields(cls)]  # type: ignore[arg-type]
    if missing := [name.upper() for name in names if not environ.get(name.upper())]:
        raise MissingSettings(f"{cls.__name__}: {', '.join(missing)} not set")
    return cls(**{name: environ[name.upper()] for name in names})
