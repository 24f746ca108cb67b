"""The deployment's token in Secrets Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.lambdas.adapters import faults

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT = "AWSCURRENT"
PENDING = "AWSPENDING"


class ManagedSecret:
    """One secret and its versions."""

    def __init__(self, client: SecretsManagerClient, arn: str) -> None:
        self._client = client
        self._arn = arn

    def current(self) -> str:
        """Return the version that is valid."""
        found = self._client.get_secret_value(SecretId=self._arn, VersionStage=CURRENT)
        return found.get("SecretString", "")

    def pending(self, version: str) -> str | None:
        """Return a version by its id, if it has a value."""
        try:
            found = self._client.get_secret_value(SecretId=self._arn, VersionId=version)
        except ClientError as error:
            if faults.code(error) == "ResourceNotFoundException":
                return None
            raise
        return found.get("SecretString")

    def propose(self, version: str, value: str) -> None:
        """Give the version to come its value."""
        self._client.put_secret_value(
            SecretId=self._arn, ClientRequestToken=version, SecretString=value, VersionStages=[PENDING]
        )

    def promote(self, version: str) -> None:
        """Make a version the valid one; once more is fine."""
        versions = self._client.describe_secret(SecretId=self._arn)["VersionIdsToStages"]
        current = next((each for each, stages in versions.items() if CURRENT in stages), None)
        if current != version:
            before = {"RemoveFromVersionId": current} if current else {}
            self._client.update_secret_version_stage(
                SecretId=self._arn, VersionStage=CURRENT, MoveToVersionId=version, **before
            )
