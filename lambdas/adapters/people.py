"""People who subscribed to a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atelier.lambdas.adapters import faults

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

LONGEST_SUBJECT = 100


class SnsPeople:
    """Who hears of what is told on a topic."""

    def __init__(self, client: SNSClient, topic: str) -> None:
        self._client = client
        self._topic = topic

    def tell(self, subject: str, text: str) -> None:
        """Tell them."""
        with faults.patience("SNS"):
            self._client.publish(TopicArn=self._topic, Subject=subject[:LONGEST_SUBJECT], Message=text)
