"""The queue of SageMaker's notices."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsNotices:
    """Notices that a queue brings again, each known by the receipt that it was brought with."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def bring(self, receipt: str, *, seconds: int) -> None:
        """Have a notice brought again so many seconds from now."""
        with suppress(
            ClientError, ConnectionError, HTTPClientError
        ):  # then the queue brings it in its own time
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds
            )
