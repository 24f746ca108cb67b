"""CloudWatch Logs as people search it."""

import time

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def group(cloud, unique):
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName=unique)
    for stream in ("job-1/a", "job-1/b", "job-10/a", "other"):
        logs.create_log_stream(logGroupName=unique, logStreamName=stream)
        event = {"timestamp": int(time.time() * 1000), "message": f"of {stream}"}
        logs.put_log_events(logGroupName=unique, logStreamName=stream, logEvents=[event])
    return unique


def test_events_are_held_to_the_streams_of_a_prefix(cloud, group):
    def found(prefix):
        answer = cloud.client("logs").filter_log_events(logGroupName=group, logStreamNamePrefix=prefix)
        return [each["message"] for each in answer["events"]]

    assert ["of job-1/a", "of job-1/b"] == found("job-1/")
    assert [] == found("none")


def test_a_prefix_and_names_together_are_refused(cloud, group):
    with pytest.raises(ClientError, match="mutually exclusive"):
        cloud.client("logs").filter_log_events(
            logGroupName=group, logStreamNamePrefix="job", logStreamNames=["other"]
        )
