"""What an asynchronous endpoint tells its topics: SageMaker's words, published as the endpoint's role."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker.access import Access, RoleError
from atelier.cloud.store import Record

logger = logging.getLogger(__name__)


class Notices:
    """Tells how requests ended. A role that may not publish loses its notices: that is said once a topic."""

    def __init__(self, cloud: Cloud, endpoint: str) -> None:
        self._region = cloud.region
        self._endpoint = endpoint
        self._complaints: set[str] = set()

    def completed(self, access: Access, config: Record, record: Record, content_type: str) -> None:
        """Tell the topic for successes where the answer is."""
        response = {"contentType": content_type, "outputLocation": record["Output"]}
        notice = self._notice(record, invocationStatus="Completed", responseParameters=response)
        self._publish(access, config, "SuccessTopic", notice)

    def failed(self, access: Access, config: Record, record: Record, reason: str) -> None:
        """Tell the topic for errors why there is no answer."""
        notice = self._notice(record, invocationStatus="Failed", failureReason=reason)
        self._publish(access, config, "ErrorTopic", notice)

    def _notice(self, record: Record, **values: Any) -> dict[str, Any]:
        asked = {"endpointName": self._endpoint, "inputLocation": record["Input"]}
        if record["ContentType"]:
            asked["contentType"] = record["ContentType"]
        return {
            "awsRegion": self._region,
            "eventTime": written(datetime.now(UTC)),
            "receivedTime": written(datetime.fromtimestamp(record["Received"], UTC)),
            "requestParameters": asked,
            "inferenceId": record["InferenceId"],
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
            **values,
        }

    def _publish(self, access: Access, config: Record, kind: str, notice: dict[str, Any]) -> None:
        topic = config.get("OutputConfig", {}).get("NotificationConfig", {}).get(kind)
        if not topic:
            return
        try:
            access.shared("sns").publish(TopicArn=topic, Message=json.dumps(notice))
        except (ClientError, BotoCoreError, RoleError) as error:
            if topic not in self._complaints:
                self._complaints.add(topic)
                logger.warning("endpoint %s cannot notify %s: %s", self._endpoint, topic, error)


def written(moment: datetime) -> str:
    """Return a time as SageMaker's notices have it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
