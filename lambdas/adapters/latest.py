"""What is launched, in SSM's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.lambdas.adapters import faults

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

SERVICE = "Systems Manager"


class SsmLatest:
    """Parameters under one path."""

    def __init__(self, client: SSMClient, path: str) -> None:
        self._client = client
        self._path = path

    def get(self, name: str) -> str | None:
        """Return a parameter, if it was ever set."""
        try:
            with faults.patience(SERVICE):
                found = self._client.get_parameter(Name=f"{self._path}/{name}")
        except ClientError as error:
            if faults.code(error) == "ParameterNotFound":
                return None
            raise
        return found["Parameter"]["Value"]

    def put(self, name: str, value: str) -> None:
        """Set a parameter."""
        with faults.patience(SERVICE):
            self._client.put_parameter(
                Name=f"{self._path}/{name}", Value=value, Type="String", Overwrite=True
            )
