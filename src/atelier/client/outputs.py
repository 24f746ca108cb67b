"""Where the stacks say their things are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.client.errors import NotDeployed

if TYPE_CHECKING:
    from atelier.client.session import Clients

PREFIX = "atelier"
"""What the names of an installation begin with, unless told otherwise."""


def outputs(clients: Clients, stack: str) -> dict[str, str]:
    """Return a stack's outputs by name; raise NotDeployed when it is not there."""
    try:
        found = clients.cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        found = []
    if not found or found[0]["StackStatus"] in {"DELETE_COMPLETE", "REVIEW_IN_PROGRESS"}:
        raise NotDeployed(f"there is no stack {stack} in {clients.where}")
    return {each["OutputKey"]: each["OutputValue"] for each in found[0].get("Outputs", [])}


def output(clients: Clients, stack: str, name: str) -> str:
    """Return one output of a stack."""
    found = outputs(clients, stack)
    if name not in found:
        raise NotDeployed(f"stack {stack} does not say its {name}: deploy it again")
    return found[name]
