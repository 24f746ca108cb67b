"""A repository of others, asked over git's own smart HTTP by one request, or read where it lies."""

import subprocess
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from atelier.lambdas.adapters import upstreams
from atelier.lambdas.adapters.upstreams import GitUpstreams, waiting
from atelier.lambdas.domain.webui import Upstream
from atelier.lambdas.errors import Busy, Invalid, NotFound, Throttled

ADVERTISEMENT = "application/x-git-upload-pack-advertisement"


class Repository:
    """A bare repository that can be asked over HTTP, and that can refuse."""

    def __init__(self, folder):
        self.folder, self.asked = folder, []
        self.refusal = None
        self.git("init", "-q", "-b", "master", str(folder))
        self.git("commit", "-q", "--allow-empty", "-m", "first")
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                repository.asked.append((self.path, self.headers.get("Git-Protocol")))
                status, headers, body = repository.answer(self.path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/webui.git"

    def answer(self, path):
        if self.refusal is not None:
            return self.refusal
        if path.startswith("/moved"):
            return 301, {"Location": path.replace("/moved", "/webui.git")}, b""
        if not path.startswith("/webui.git/info/refs?service=git-upload-pack"):
            return 404, {}, b""
        told = self.git("upload-pack", "--stateless-rpc", "--advertise-refs", str(self.folder), text=False)
        return 200, {"Content-Type": ADVERTISEMENT}, b"001e# service=git-upload-pack\n0000" + told

    def git(self, *arguments, text=True):
        command = ["git", "-C", str(self.folder), "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments]
        self.folder.mkdir(exist_ok=True)
        done = subprocess.run(command, capture_output=True, check=True).stdout
        return done.decode().strip() if text else done

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "webui")
    yield made
    made.close()


def head(url, reference="refs/heads/master"):
    return GitUpstreams().head(Upstream(url=url, reference=reference))


def test_the_head_of_a_branch_is_found_by_one_request(repository):
    assert repository.git("rev-parse", "HEAD") == head(repository.url)
    assert [("/webui.git/info/refs?service=git-upload-pack", None)] == repository.asked


def test_a_path_and_a_file_url_are_read_where_they_lie(repository):
    expected = repository.git("rev-parse", "HEAD")

    assert [expected] * 2 == [head(str(repository.folder)), head(repository.folder.as_uri())]
    assert [] == repository.asked


@pytest.mark.parametrize("place", ["url", "folder"])
def test_a_tag_stands_for_its_commit(repository, place):
    repository.git("tag", "light")
    repository.git("tag", "-a", "v1", "-m", "one")
    expected, url = repository.git("rev-parse", "HEAD"), str(getattr(repository, place))

    assert [expected] * 2 == [head(url, "refs/tags/light"), head(url, "refs/tags/v1")]


def test_a_branch_that_moves_is_seen_and_one_that_is_renamed_is_missed(repository):
    repository.git("commit", "-q", "--allow-empty", "-m", "second")
    assert repository.git("rev-parse", "HEAD") == head(repository.url)
    repository.git("branch", "-m", "main")

    for url in (repository.url, str(repository.folder)):
        with pytest.raises(NotFound, match="is not there: it was renamed or deleted"):
            head(url)


def test_a_repository_that_moved_is_followed(repository):
    assert repository.git("rev-parse", "HEAD") == head(repository.url.replace("/webui.git", "/moved"))


@pytest.mark.parametrize("status", [401, 404])
def test_a_repository_that_is_gone_is_not_found(repository, status):
    repository.refusal = status, {}, b""

    with pytest.raises(NotFound, match="no git repository, or not a public one"):
        head(repository.url)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_has_a_fault_is_asked_once_and_later(repository, status):
    repository.refusal = status, {}, b""

    with pytest.raises(Busy, match=str(status)) as refused:
        head(repository.url)

    assert not isinstance(refused.value, Throttled)
    assert 1 == len(repository.asked)


def test_an_answer_that_is_not_gits_is_a_fault(repository):
    repository.refusal = 200, {"Content-Type": ADVERTISEMENT}, b"0000<html>sign in</html>"

    with pytest.raises(Busy, match="does not answer"):
        head(repository.url)


def test_a_page_in_place_of_a_repository_is_a_fault(repository):
    repository.refusal = 200, {"Content-Type": "text/html"}, b"<html>sign in</html>\n"

    with pytest.raises(Busy, match="does not answer"):
        head(repository.url)


def test_a_server_that_is_away_is_asked_later(repository):
    url = repository.url
    repository.close()

    with pytest.raises(Busy, match="does not answer"):
        head(url)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "120"}, 120),
        (429, {}, 0),
        (503, {"Retry-After": "7"}, 7),
        (403, {"Retry-After": "9"}, 9),
    ],
)
def test_a_server_that_is_asked_too_often_says_when_to_come_again(repository, status, headers, seconds):
    repository.refusal = status, headers, b""

    with pytest.raises(Throttled, match="asked too often") as refused:
        head(repository.url)

    assert (seconds, 1) == (refused.value.seconds, len(repository.asked))


def test_how_long_to_wait_is_a_number_a_date_or_nothing():
    now = time.time()

    assert 60 == pytest.approx(waiting(formatdate(now + 60, usegmt=True), now), abs=1.5)
    assert [0, 0, 0] == [waiting(each, now) for each in (None, "soon", formatdate(now - 60, usegmt=True))]


@pytest.mark.parametrize(
    "url",
    [
        "git@github.com:a/b",
        "ssh://git@github.com/a/b",
        "git://127.0.0.1/a",
        "ext::sh -c true",
        "relative/path",
        "https://user:secret@github.com/a/b",
    ],
)
def test_what_is_no_public_repository_is_refused_without_a_secret(url):
    with pytest.raises(Invalid) as refused:
        head(url)

    assert "secret" not in str(refused.value)


def test_a_path_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(NotFound, match="no folder on the machine"):
        head(str(tmp_path / "missing"))
    with pytest.raises(NotFound, match="no git repository"):
        head(str(tmp_path))


def test_the_head_is_found_among_many_references_by_one_request(repository):
    commit = repository.git("rev-parse", "HEAD")
    packed = [f"{commit} refs/pull/{number}/head" for number in range(5_000)]
    (repository.folder / ".git" / "packed-refs").write_text("\n".join(sorted(packed)) + "\n")

    assert commit == head(repository.url)
    assert 1 == len(repository.asked)


def test_an_answer_without_end_is_a_fault(repository, monkeypatch):
    monkeypatch.setattr(upstreams, "LARGEST", 100)

    with pytest.raises(Busy, match="more references than 100 bytes"):
        head(repository.url)
