"""Where a build runs: its folders, its Python, and the environment that its commands see.

A build is a process of this machine's user, and nothing isolates it. But it sees nothing of the user's
environment except where packages come from, and `pip install` goes into a virtual environment of its own.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Self

from atelier.cloud.context import Cloud
from atelier.cloud.services.codebuild.failures import Invalid

PASSED = re.compile(
    r"PIP_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|XDG_CONFIG_DIRS|(HTTPS?|NO)_PROXY|(https?|no)_proxy"
)
"""What pip needs to reach its index."""

SUPPORTED = ("3.11", "3.12", "3.13")
PREINSTALLED = ("pip", "setuptools", "boto3", "awscli")
"""What CodeBuild's standard image brings for Python; a build installs the rest by itself."""

COMMANDS = {"pip": "pip", "pip3": "pip", "aws": "awscli"}
UNPRIVILEGED = """\
#!/bin/sh
echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2
echo "This build may not use Docker: set privilegedMode in its project's environment." >&2
exit 1
"""
"""What `docker` says on AWS to a build that is not privileged, and why."""

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Workbench:
    """The folders of one build."""

    root: Path

    @classmethod
    def of(cls, cloud: Cloud, build: str) -> Self:
        """Return the workbench of the build with this id."""
        return cls(cloud.home / "builds" / build.rpartition(":")[2])

    @property
    def source(self) -> Path:
        """Where the source is, and where commands start."""
        return self.root / "src"

    @property
    def state(self) -> Path:
        """What the shell keeps between commands."""
        return self.root / "state"

    @property
    def python(self) -> Path:
        """The build's virtual environment."""
        return self.root / "python"

    def secondary(self, identifier: str) -> Path:
        """Return where the secondary source *identifier* is."""
        return self.root / "secondary" / identifier

    def make(self) -> None:
        """Make the folders, for their owner only."""
        self.root.mkdir(mode=0o700, parents=True)
        for each in ("src", "secondary", "home", "tmp", "state", "unprivileged"):
            (self.root / each).mkdir(mode=0o700)
        _write_command(self.root / "unprivileged" / "docker", UNPRIVILEGED)

    def remove(self) -> None:
        """Remove all of it, read-only folders that a tool made too."""
        for folder, _, _ in os.walk(self.root):
            with suppress(OSError):
                Path(folder).chmod(0o700)
        shutil.rmtree(self.root, ignore_errors=True)

    def environment(self, cloud: Cloud, *, is_privileged: bool) -> dict[str, str]:
        """Return what a build sees: of this process's environment what pip needs, and Docker if it may."""
        own = str(Path(sys.prefix) / "bin")
        system = [each for each in os.environ.get("PATH", os.defpath).split(os.pathsep) if each != own]
        tools = cloud.engine.tools if is_privileged else self.root / "unprivileged"
        passed = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
        return {
            "LANG": "C.UTF-8",
            **passed,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PATH": os.pathsep.join([*([str(tools)] if tools else []), str(self.python / "bin"), *system]),
            "VIRTUAL_ENV": str(self.python),
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
        }

    def install_python(self, version: str | None, shared: Path) -> str:
        """Make the build's virtual environment, with pip and the AWS tools; return its Python's version."""
        interpreter, version = find_python(version)
        if interpreter == sys.executable:
            venv.EnvBuilder(symlinks=True).create(self.python)
        else:
            subprocess.run(
                [interpreter, "-m", "venv", "--without-pip", self.python], check=True, capture_output=True
            )
        packages = self.python / "lib" / f"python{version}" / "site-packages"
        (packages / "preinstalled.pth").write_text(f"{preinstalled(shared)}\n", encoding="utf-8")
        for command, module in COMMANDS.items():
            text = f'#!/bin/sh\nexec "$(dirname "$0")/python" -m {module} "$@"\n'
            _write_command(self.python / "bin" / command, text)
        return version


def _write_command(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o700)


def find_python(version: str | None) -> tuple[str, str]:
    """Return the interpreter of this version (``3.12``), or the one that the cloud runs on for None."""
    if version in (None, HERE):
        return sys.executable, HERE
    assert version is not None
    if version in SUPPORTED and (found := _on_path(version)):
        return found, version
    raise Invalid(
        f"runtime-versions: python {version} is not on this machine. Builds run on python {HERE} here: "
        "install the other one, or leave runtime-versions out"
    )


@functools.cache
def _on_path(version: str) -> str | None:
    """Return the interpreter if it is there and runs: a version manager's stub may do neither."""
    asked = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2])"
    found = shutil.which(f"python{version}")
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [found or "", "-c", asked], capture_output=True, text=True, timeout=20, check=False
        )
        path, _, said = done.stdout.strip().rpartition(" ")
        return path if said == version else None
    return None


def preinstalled(shared: Path) -> Path:
    """Return a folder with links to what `PREINSTALLED` needs of our own packages, and to nothing else."""
    links = dict(_links())
    key = hashlib.sha256(repr(sorted(links.items())).encode()).hexdigest()[:16]
    folder = shared / f"preinstalled-{key}"
    if not folder.exists():
        aside = shared / f"preinstalled-{key}.{os.getpid()}.{os.urandom(4).hex()}"
        aside.mkdir(mode=0o700, parents=True)
        for name, target in links.items():
            (aside / name).symlink_to(target)
        try:
            aside.rename(folder)
        except OSError:  # another build was first
            shutil.rmtree(aside)
    return folder


@functools.cache
def _links() -> Mapping[str, Path]:
    links = {}
    for distribution in _closure():
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not Path(top).is_absolute() and not top.endswith(".pth"):
                links[top] = Path(str(distribution.locate_file(top)))
    return links


def _closure() -> Iterator[metadata.Distribution]:
    """Return the preinstalled distributions and what they require, each once."""
    waiting, seen = list(PREINSTALLED), set()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        with suppress(metadata.PackageNotFoundError):
            distribution = metadata.distribution(name)
            waiting += _required(distribution)
            yield distribution


def _required(distribution: metadata.Distribution) -> Iterator[str]:
    for text in distribution.requires or ():
        if "extra ==" not in text:
            yield re.split(r"[^\w.-]", text, maxsplit=1)[0]
