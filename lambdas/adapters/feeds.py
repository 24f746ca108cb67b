"""Where the models of the serving fleet land."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from atelier.contract import fleet
from atelier.lambdas.adapters import faults
from atelier.lambdas.adapters.objects import HIDDEN, MISSING
from atelier.lambdas.errors import Failed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef


class FleetFeed:
    """The fleet's bucket, to which artefacts are copied within S3."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def land(self, name: str, artifact: str, sha256: str) -> None:
        """Copy an artefact, then say its SHA-256; the last that landed is not copied again."""
        key = fleet.key(name)
        if self._said(fleet.beside(key)) == sha256:
            return
        bucket, _, path = artifact.removeprefix("s3://").partition("/")
        source: CopySourceTypeDef = {"Bucket": bucket, "Key": path}
        try:
            self._client.copy(source, self._bucket, key)
            self._client.put_object(
                Bucket=self._bucket,
                Key=fleet.beside(key),
                Body=f"{sha256}  {fleet.FILE}\n".encode(),
                ContentType="text/plain",
            )
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise Failed(f"{artifact} cannot land in the fleet's bucket {self._bucket}: {error}") from error

    def _said(self, key: str) -> str:
        try:
            with closing(self._client.get_object(Bucket=self._bucket, Key=key)["Body"]) as body:
                return body.read(4096).decode("ascii", "replace").partition(" ")[0]
        except ClientError as error:
            if faults.code(error) in {*MISSING, *HIDDEN}:
                return ""
            raise Failed(f"the fleet's bucket {self._bucket} cannot be read: {faults.text(error)}") from error
