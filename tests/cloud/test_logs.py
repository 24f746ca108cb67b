"""Live logs of builds and training jobs."""

import logging
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import ClientError
from fakes import fake_cloud

from atelier.cloud.context import Cloud, Credentials
from atelier.cloud.services.logs import BATCH_BYTES, EVENT_BYTES, LogStream, batches, parts

ROLE = Credentials("AKIAFAKE", "secret", "token")


class Missing(ClientError):
    pass


class Exists(ClientError):
    pass


class Denied(ClientError):
    pass


def fault(kind, code):
    return kind({"Error": {"Code": code, "Message": "no"}}, "PutLogEvents")


@dataclass
class FakeLogs:
    """CloudWatch Logs in memory; raises `denied` when it is set."""

    groups: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    denied: ClientError | None = None
    puts: int = 0

    class exceptions:
        ResourceAlreadyExistsException = Exists
        ResourceNotFoundException = Missing

    def create_log_group(self, logGroupName):
        if logGroupName in self.groups:
            raise fault(Exists, "ResourceAlreadyExistsException")
        self.groups[logGroupName] = {}

    def create_log_stream(self, logGroupName, logStreamName):
        if self.denied:
            raise self.denied
        if logGroupName not in self.groups:
            raise fault(Missing, "ResourceNotFoundException")
        if logStreamName in self.groups[logGroupName]:
            raise fault(Exists, "ResourceAlreadyExistsException")
        self.groups[logGroupName][logStreamName] = []

    def put_log_events(self, logGroupName, logStreamName, logEvents):
        self.puts += 1
        if self.denied:
            raise self.denied
        self.groups[logGroupName][logStreamName] += [event["message"] for event in logEvents]

    def close(self):
        pass


class CloudWithLogs(Cloud):
    def client(self, service, credentials):
        return self.engine


@pytest.fixture
def logs():
    return FakeLogs()


@pytest.fixture
def cloud(tmp_path, logs):
    plain = fake_cloud(tmp_path, engine=logs)
    yield CloudWithLogs(**vars(plain))
    plain.store.close()


def test_every_line_is_there_when_the_stream_is_closed(cloud, logs):
    with LogStream(cloud, ROLE, "/aws/codebuild/app", "1") as log:
        for number in range(1000):
            log(f"line {number}\n")

    assert [f"line {number}" for number in range(1000)] == logs.groups["/aws/codebuild/app"]["1"]


def test_lines_go_out_while_the_work_runs(cloud, logs):
    with LogStream(cloud, ROLE, "g", "s", every=0.01) as log:
        log("early")
        for _ in range(500):
            if logs.groups.get("g", {}).get("s"):
                break
            log._ending.wait(0.01)

        assert ["early"] == logs.groups["g"]["s"]


def test_a_stream_that_exists_is_continued(cloud, logs):
    for line in ("first", "second"):
        with LogStream(cloud, ROLE, "g", "s") as log:
            log(line)

    assert ["first", "second"] == logs.groups["g"]["s"]


def test_a_role_that_may_not_write_logs_is_reported_once(cloud, logs, caplog):
    logs.denied = fault(Denied, "AccessDeniedException")

    with caplog.at_level(logging.WARNING), LogStream(cloud, ROLE, "g", "s", every=0.01) as log:
        log("one")
        log._ending.wait(0.1)
        log("two")

    assert logs.puts >= 1
    assert ["logs of g s are incomplete"] == [each.getMessage().split(":")[0] for each in caplog.records]


def test_an_empty_line_is_kept_as_a_blank_one():
    assert [" "] == list(parts("\n"))


def test_a_huge_line_is_cut_between_characters():
    line = "é" * EVENT_BYTES

    cut = list(parts(line))

    assert line == "".join(cut)
    assert all(len(each.encode()) <= EVENT_BYTES for each in cut)


def test_a_batch_keeps_within_the_limits_of_the_request():
    events = [{"timestamp": 1, "message": "x" * 100_000} for _ in range(25)]
    many = [{"timestamp": 1, "message": "x"} for _ in range(25_000)]

    assert [10, 10, 5] == [len(batch) for batch in batches(events)]
    assert [10_000, 10_000, 5_000] == [len(batch) for batch in batches(many)]
    assert all(sum(len(each["message"]) + 26 for each in batch) <= BATCH_BYTES for batch in batches(events))
