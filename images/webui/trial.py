"""A container of an image to prove, on this machine's own address; what is started here ends here."""

import io
import json
import secrets
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar
from types import TracebackType
from urllib.parse import urlencode

LOGIN = "run/webui-login"
WEBUI_USER = 1000
#: The real WebUI imports torch and reads all its scripts on a machine that may be small.
PATIENCE_SECONDS = 600.0
LOG_LINES = "60"


class Unproven(Exception):
    """What an image does not do as it should, with what its container said."""

    def __init__(self, problem: str, log: str = "") -> None:
        super().__init__(problem)
        self.log = log


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: str


def docker(*words: str, given: bytes | None = None) -> str:
    """Run the docker command; its refusal is ours."""
    asked = subprocess.run(["docker", *words], input=given, capture_output=True, check=False)
    if asked.returncode:
        raise Unproven(f"docker {words[0]} ended with {asked.returncode}: {asked.stderr.decode().strip()}")
    return asked.stdout.decode().strip()


class Container:
    """A container that runs for the length of a block; with a *user*, whoever comes needs its password."""

    def __init__(self, image: str, user: str | None, *command: str) -> None:
        self._image, self._user, self._command = image, user, command
        self.password = secrets.token_urlsafe(18)
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
        )

    def __enter__(self) -> "Container":
        """Start it."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        variables = {"BIND_HOST": "127.0.0.1", "PORT": port, "SAGEMAKER_BIND_TO_PORT": port}
        if self._user:
            variables["WEBUI_AUTH_FILE"] = f"/{LOGIN}"
        given = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        self._id = docker("create", "--network", "host", *given, self._image, *self._command)
        try:
            if self._user:  # by a file: arguments and variables are seen by whoever lists processes
                docker("cp", "-", f"{self._id}:/", given=self._login())
            self._started = time.monotonic()
            docker("start", self._id)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it, whatever happened."""
        docker("rm", "--force", "--volumes", self._id)

    def wait(self, path: str) -> float:
        """Wait until *path* is answered with 200; return the seconds since the start."""
        said = "nothing"
        while time.monotonic() < self._started + PATIENCE_SECONDS:
            try:
                answer = self.ask(path)
                if answer.status == 200:
                    return time.monotonic() - self._started
                said = f"{answer.status} {answer.body[:200]}"
            except OSError as error:
                said = str(error)
            if docker("inspect", "--format", "{{.State.Running}}", self._id) != "true":
                code = docker("inspect", "--format", "{{.State.ExitCode}}", self._id)
                raise Unproven(f"the container ended with {code} before it answered {path}", self.log())
            time.sleep(0.2)
        raise Unproven(f"{path} is not answered after {PATIENCE_SECONDS:g} s: {said}", self.log())

    def ask(
        self,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        document: Mapping[str, object] | None = None,
    ) -> Answer:
        """Ask for a path, or send it a form or a document; cookies are kept as a browser keeps them."""
        body, headers = None, {}
        if form is not None:
            body = urlencode(form).encode()
        if document is not None:
            body, headers = json.dumps(document).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data=body, headers=headers)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return Answer(status=answer.status, body=answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(status=error.code, body=error.read().decode(errors="replace"))

    def log(self) -> str:
        """Return the end of what the container said."""
        told = subprocess.run(
            ["docker", "logs", "--tail", LOG_LINES, self._id],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return told.stdout.decode(errors="replace")

    def _login(self) -> bytes:
        """Return the file with the password, as `docker cp` takes it: for the WebUI's eyes alone."""
        text = f"{self._user}:{self.password}\n".encode()
        entry = tarfile.TarInfo(LOGIN)
        entry.size, entry.mode, entry.uid, entry.gid = len(text), 0o400, WEBUI_USER, WEBUI_USER
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(entry, io.BytesIO(text))
        return packed.getvalue()
