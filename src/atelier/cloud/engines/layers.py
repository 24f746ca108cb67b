"""Environments of locked dependencies, made once and shared by every image and every cloud of a machine.

The key of an environment is what decides its content: the lock files, the interpreter, and the settings by
which pip chooses among files that a lock allows. It is built at its final path, since a virtual environment's
scripts hold that path, and counts only from the moment when its marker file appears.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Log = Callable[[str], None]

MARKER = ".complete"

PASSED = re.compile(
    r"PIP_.*|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|XDG_CONFIG_DIRS"
    r"|PATH|HOME|LANG|LC_ALL|TMPDIR",
    re.IGNORECASE,
)
"""What pip needs of a build's environment: where packages come from. Credentials are not among it."""

CHOOSING = re.compile(
    r"PIP_(FIND_LINKS|INDEX_URL|EXTRA_INDEX_URL|NO_INDEX|CONSTRAINT|NO_BINARY|ONLY_BINARY|PREFER_BINARY|CONFIG_FILE)"
)

PROBE = """
import json, sys, sysconfig, venv
print(json.dumps([sys._base_executable, sys.version, sys.implementation.name, sysconfig.get_platform()]))
"""


class InstallFailed(Exception):
    """Dependencies could not be installed; pip's own words are in the log."""


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine that stands for a base image."""

    path: str
    version: str
    implementation: str
    platform: str

    @property
    def minor(self) -> str:
        """Return the version as base images name it (``3.11``)."""
        return ".".join(self.version.split(".")[:2])


@functools.cache
def interpreter(minor: str) -> Interpreter:
    """Return the machine's Python *minor*, or the one that runs this cloud.

    A base image pins a Python that this machine may lack. To refuse would keep a machine with Python 3.12
    from running a Dockerfile that AWS builds on 3.11, while locked dependencies mostly exist for both; so the
    cloud's own Python stands in, and whoever asks compares `Interpreter.minor` and says so.
    """
    path = getattr(sys, "_base_executable", sys.executable)  # what a virtual environment was made from
    own = Interpreter(path, sys.version, sys.implementation.name, sysconfig.get_platform())
    if own.minor == minor:
        return own
    named = shutil.which(f"python{minor}")
    found = _probe(named) if named else None  # a pyenv shim may be on PATH and not run
    return found if found and found.minor == minor else own


def _probe(path: str) -> Interpreter | None:
    command = [path, "-I", "-c", PROBE]
    try:
        output = subprocess.run(command, capture_output=True, check=True, timeout=30, text=True).stdout
        return Interpreter(*json.loads(output))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


class Layers:
    """The environments in ``<cache>/layers``."""

    def __init__(self, cache: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.folder = cache / "layers"
        self._environ = {
            "PIP_CACHE_DIR": str(cache / "pip"),
            **{key: value for key, value in environ.items() if PASSED.fullmatch(key)},
        }

    def key(self, locks: Sequence[str], python: Interpreter) -> str:
        """Return the name of the environment of these lock files."""
        settings = {name: value for name, value in self._environ.items() if CHOOSING.fullmatch(name)}
        content = json.dumps([list(locks), vars(python), settings], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def ready(self, key: str) -> Path | None:
        """Return the environment's folder when it is complete."""
        folder = self.folder / key
        return folder if (folder / MARKER).exists() else None

    def environment(self, locks: Sequence[str], python: Interpreter, log: Log) -> Path:
        """Return the environment of these lock files, installing them if nobody has."""
        key = self.key(locks, python)
        if found := self.ready(key):
            return found
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked(key, log) as held:
            return self.ready(key) or self._install(self.folder / key, locks, python, log, held)

    @contextlib.contextmanager
    def _locked(self, key: str, log: Log) -> Iterator[int]:
        """Hold the key's lock; yield its descriptor."""
        with (self.folder / f"{key}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log("Another build is installing these dependencies: waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()

    def _install(self, folder: Path, locks: Sequence[str], python: Interpreter, log: Log, held: int) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            self._run([python.path, "-I", "-m", "venv", *self._pip_in_venv(), str(folder)], log, held)
            for number, lock in enumerate(locks):
                file = folder / f"requirements-{number}.lock"
                file.write_text(lock)
                self._run([*self._pip(folder), "install", *INSTALL, "-r", str(file)], log, held)
        except BaseException:  # an interrupt as well: an incomplete environment is of no use
            shutil.rmtree(folder, ignore_errors=True)
            raise
        (folder / MARKER).touch()
        return folder

    def _pip_in_venv(self) -> list[str]:
        return ["--without-pip"] if importlib.util.find_spec("pip") else []

    def _pip(self, folder: Path) -> list[str]:
        """Return pip for the environment: our own, which is there already, else the environment's."""
        python = str(folder / "bin" / "python")
        own = importlib.util.find_spec("pip") is not None
        return [sys.executable, "-I", "-m", "pip", "--python", python] if own else [python, "-I", "-m", "pip"]

    def _run(self, command: Sequence[str], log: Log, held: int) -> None:
        """Run one command line by line.

        It inherits the lock: should this process be killed, nobody else starts before pip has ended.
        """
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**self._environ, "PYTHONUNBUFFERED": "1"},
            pass_fds=[held],
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                log(line.rstrip("\n"))
        if process.returncode:
            raise InstallFailed(f"pip ended with code {process.returncode}: its last lines above say why")


INSTALL = ("--require-hashes", "--no-input", "--progress-bar", "off", "--disable-pip-version-check")
