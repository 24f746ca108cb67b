"""Why a build failed, from what CodeBuild says and what is in its log."""

from types import SimpleNamespace

from botocore.exceptions import ClientError

from atelier.client import builds

ERROR = "Error while executing command: make. Reason: exit status 2"
PHASES = [
    {"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED"},
    {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": ERROR}]},
]
LOG = [
    "[Container] 12:00 Running command before",
    "of another command",
    "[Container] 12:01 Running command make",
    "first",
    "",
    "COPY failed: no such file",
    "publish.py: docker build ended with 1",
    "[Container] 12:02 Command did not exit successfully make exit status 2",
    "[Container] 12:02 Phase complete: BUILD State: FAILED",
    "[Container] 12:02 Running command after",
    "of the phase that follows",
]


class FakeLogs:
    """A log; or none that may be read."""

    def __init__(self, lines=None):
        self.lines = lines

    def get_log_events(self, **_):
        if self.lines is None:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetLogEvents")
        return {"events": [{"message": f"{line}\n"} for line in self.lines]}


def failure(logs=None, place=None, phases=PHASES):
    place = {"groupName": "builds", "streamName": "one"} if place is None else place
    build = SimpleNamespace(batch_get_builds=lambda ids: {"builds": [{"phases": phases, "logs": place}]})
    return builds.failure(SimpleNamespace(codebuild=build, logs=logs or FakeLogs()), "atelier:1")


def test_the_command_is_named_with_what_it_said_last():
    said = "first\nCOPY failed: no such file\npublish.py: docker build ended with 1"

    assert f"BUILD: {ERROR}\n{said}" == failure(FakeLogs(LOG))


def test_of_many_and_long_lines_the_last_are_shown_and_cut():
    noise = [f"line {number}" for number in range(100)]
    log = [*noise, "x" * 10_000, "[Container] 12:00 Phase complete: BUILD State: FAILED"]

    assert ["line 97", "line 98", "line 99", "x" * 300] == failure(FakeLogs(log)).splitlines()[1:]


def test_without_a_log_that_may_be_read_the_command_is_all():
    assert f"BUILD: {ERROR}" == failure(FakeLogs())
    assert f"BUILD: {ERROR}" == failure(FakeLogs(LOG), place={})
    assert f"BUILD: {ERROR}" == failure(FakeLogs(LOG[:4]))


def test_a_phase_that_says_nothing_is_named_with_its_status():
    assert "BUILD: TIMED_OUT" == failure(phases=[{"phaseType": "BUILD", "phaseStatus": "TIMED_OUT"}])


def test_a_build_that_did_not_fail_has_no_reason():
    assert "" == failure(FakeLogs(LOG), phases=PHASES[:1])
