"""Wiring of what tells who asks, and of the functions of users, roles and tokens."""

from __future__ import annotations

from functools import cache

from botocore.config import Config

from atelier.contract.settings import (
    AccessSettings,
    AuthorizerSettings,
    DeploymentTokenSettings,
    from_environment,
)
from atelier.contract.values import Value
from atelier.lambdas.adapters.accounts import DynamoAccounts
from atelier.lambdas.adapters.rates import DynamoRates
from atelier.lambdas.adapters.secrets import ManagedSecret
from atelier.lambdas.bootstrap import client
from atelier.lambdas.ports.accounts import Accounts, Rates, Secret

SWIFT = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
"""For a caller who waits: a table answers in milliseconds, or another try does."""


class Access(Value):
    """What tells who asks, and whether too often; users, roles and tokens need no more."""

    accounts: Accounts
    rates: Rates
    user_requests: int


@cache
def access() -> Access:
    """Wire what tells who asks."""
    settings = from_environment(AccessSettings)
    dynamodb = client("dynamodb", config=SWIFT)
    return Access(
        accounts=DynamoAccounts(dynamodb, settings.accounts_table),
        rates=DynamoRates(dynamodb, settings.rates_table),
        user_requests=int(settings.user_requests),
    )


@cache
def authorizer() -> Accounts:
    """Wire what recognises tokens."""
    settings = from_environment(AuthorizerSettings)
    return DynamoAccounts(client("dynamodb", config=SWIFT), settings.accounts_table)


class DeploymentToken(Value):
    """What keeps the deployment's token in step with its secret."""

    accounts: Accounts
    secret: Secret
    secret_arn: str


@cache
def deployment_token() -> DeploymentToken:
    """Wire what keeps the deployment's token in step with its secret."""
    settings = from_environment(DeploymentTokenSettings)
    return DeploymentToken(
        accounts=DynamoAccounts(client("dynamodb", config=SWIFT), settings.accounts_table),
        secret=ManagedSecret(client("secretsmanager", config=SWIFT), settings.secret_arn),
        secret_arn=settings.secret_arn,
    )
