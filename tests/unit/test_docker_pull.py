"""What is said of an image that cannot be fetched: in the words of whoever fetches it."""

import pytest
from docker.errors import APIError
from requests.exceptions import ConnectionError as NoConnection

from atelier.cloud.context import Refused
from atelier.cloud.engines.docker.pull import pull

IMAGE = f"127.0.0.1:5000/app@sha256:{'0' * 64}"


class FakeApi:
    """Answers a pull with steps, or fails."""

    def __init__(self, *steps, error=None):
        self.steps, self.error, self.asked = steps, error, None

    def pull(self, repository, **options):
        self.asked = (repository, options["tag"], options["auth_config"]["password"])
        if self.error:
            raise self.error
        return iter(self.steps)


def login():
    return "AWS", "secret"


def test_an_image_is_fetched_by_digest_as_the_role():
    api, seen = FakeApi({"status": "Pulling"}, {"status": "Done"}), []

    pull(api, IMAGE, login, check=lambda: seen.append(1))

    assert ("127.0.0.1:5000/app", f"sha256:{'0' * 64}", "secret") == api.asked
    assert [1, 1] == seen


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("manifest unknown: gone", r"the repository app has no such image; was it deleted\?"),
        (
            "dial tcp 127.0.0.1:5000: connect: connection refused",
            "the registry at 127.0.0.1:5000 does not answer",
        ),
        ("write /var/lib/docker/tmp/x: no space left on device", "no space left on device"),
        ("denied: User: x is not authorized to perform: ecr:BatchGetImage", "not authorized to perform"),
    ],
)
@pytest.mark.parametrize("is_late", [True, False])
def test_a_refusal_says_what_is_missing_and_no_secret(said, meant, is_late):
    api = FakeApi({"error": said}) if is_late else FakeApi(error=APIError("500", explanation=said))

    with pytest.raises(Refused, match=f"^cannot pull {IMAGE}: .*{meant}") as refused:
        pull(api, IMAGE, login, check=lambda: None)
    assert "secret" not in str(refused.value)


def test_an_engine_that_is_away_is_named():
    error = NoConnection(FileNotFoundError(2, "No such file or directory"))

    with pytest.raises(Refused, match=r"the Docker engine does not answer \(No such file or directory\)"):
        pull(FakeApi(error=error), IMAGE, login, check=lambda: None)


def test_a_job_that_is_stopped_fetches_no_further():
    class Stopped(Exception):
        pass

    def stop():
        raise Stopped

    with pytest.raises(Stopped):
        pull(FakeApi({"status": "Pulling"}), IMAGE, login, check=stop)
