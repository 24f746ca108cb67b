"""Calls of other functions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, HTTPClientError

from atelier.lambdas.adapters import faults
from atelier.lambdas.errors import Busy

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

LATER = frozenset(
    {"ServiceException", "ServiceUnavailableException", "ThrottlingException", "TooManyRequestsException"}
)


class AsynchronousJobs:
    """Jobs that a function does later; Lambda tries again those that fail."""

    def __init__(self, client: LambdaClient, function: str) -> None:
        self._client = client
        self._function = function

    def download(self, id: str, position: int) -> None:
        """Have a checkpoint's source fetched."""
        event = json.dumps({"checkpoint": id, "source": position}).encode()
        try:
            self._client.invoke(FunctionName=self._function, InvocationType="Event", Payload=event)
        except HTTPClientError as error:
            raise Busy("downloads cannot be begun now, try again") from error
        except ClientError as error:
            if faults.code(error) in LATER:
                raise Busy("downloads cannot be begun now, try again") from error
            raise
