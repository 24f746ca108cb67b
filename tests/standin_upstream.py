"""A stand-in for the WebUI's upstream: a git repository of its layout, which moves by commits.

    upstream = Upstream(folder)
    upstream.declare(root)        # writes root/images/webui/upstream.toml, which points at it
    upstream.commit()             # moves its branch; returns the commit

Its image starts the WebUI of tests/extension/standin. The packages that it needs are in `base_image()`: what
`make webuis` has installed, so that no build downloads them.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import git

ROOT = Path(__file__).resolve().parents[1]
STANDIN = ROOT / "tests" / "extension" / "standin"
LOCK = ROOT / "requirements" / "webui-gradio3.lock"
PYTHON_BASE = "public.ecr.aws/docker/library/python:3.11-slim-bookworm"
BASE = "atelier-standin-base:gradio3"
BASE_DOCKERFILE = f"""\
FROM {PYTHON_BASE}
COPY packages /opt/standin
RUN python -c "import pathlib, sysconfig; folder = pathlib.Path(sysconfig.get_path('purelib')); \
folder.mkdir(parents=True, exist_ok=True); (folder / 'standin.pth').write_text('/opt/standin')"
"""
PALETTE = "standin-palette"

LAUNCHER = '''\
"""What the WebUI clones when it starts, said as the WebUI says it."""

import os

from modules.paths import script_path

dir_repos = "repositories"


def repo_dir(name):
    return os.path.join(script_path, dir_repos, name)


def git_clone(url, dir, name, commithash=None):
    raise RuntimeError(f"nothing is cloned here: {name} has to be in {dir}")


def prepare_environment():
    palette_repo = os.environ.get("PALETTE_REPO", "https://vanished.invalid/palette.git")
    palette_commit_hash = os.environ.get("PALETTE_COMMIT_HASH", "PALETTE_COMMIT")
    git_clone(palette_repo, repo_dir("standin-palette"), "palette", palette_commit_hash)
'''
LAUNCH = '''\
"""Start the WebUI."""

from modules import launch_utils, paths

if __name__ == "__main__":
    if not paths.arguments.skip_prepare_environment:
        launch_utils.prepare_environment()
    with open(launch_utils.repo_dir("standin-palette") + "/palette.json") as palette:
        palette.read()
    import webui

    webui.main()
'''
TOML = """\
[upstream]
repository = "{url}"
branch = "master"

[companions]
standin-palette = {{}}

[overrides]
"https://vanished.invalid/palette" = "{palette}"

[packages]
requirements = "requirements_versions.txt"

[accelerators.cpu]
python = []
"""


class Upstream:
    """The repository, and the companion that it clones."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.palette = folder / "upstream", folder / PALETTE
        palette = _made(self.palette)
        (self.palette / "palette.json").write_text('["teal"]\n')
        commit = _commit(palette, "Choose a colour")
        self._git = _made(self.folder)
        shutil.copytree(
            STANDIN, self.folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
        self.write("launch.py", LAUNCH)
        self.write("modules/launch_utils.py", LAUNCHER.replace('PALETTE_COMMIT"', f'{commit}"'))
        self.write("requirements_versions.txt", requirements())
        self.commit("Begin")

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self.folder)

    @property
    def head(self) -> str:
        """The commit that its branch is at."""
        return self._git.head.commit.hexsha

    def write(self, name: str, text: str) -> None:
        """Write a file of the next commit."""
        (self.folder / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a file of the next commit."""
        text = (self.folder / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        self.write(name, text.replace(old, new))

    def commit(self, message: str = "Move on") -> str:
        """Commit what was written, or a line more of the README; return the commit."""
        if not self._git.is_dirty(untracked_files=True):
            with (self.folder / "README.md").open("a") as file:
                file.write(f"{message}.\n")
        return _commit(self._git, message)

    def rewrite(self) -> str:
        """Replace the newest commit by another one, as a force-push does; return the one that is gone."""
        gone = self.head
        self._git.git.reset("--hard", "HEAD~1")
        self.commit("Think again")
        self._git.git.reflog("expire", "--expire=now", "--all")
        self._git.git.gc("--prune=now", "--quiet")
        return gone

    def git(self, *words: str) -> str:
        """Run a git command in it."""
        return str(self._git.git.execute(["git", *words]))

    def aside(self) -> str:
        """Make a commit that is in no branch; return it."""
        return self._git.git.commit_tree("HEAD^{tree}", "-p", "HEAD", "-m", "Lead nowhere")

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Move the branch once, in the end, by whatever is done meanwhile."""
        self._git.git.checkout("--quiet", "-b", "draft")
        yield
        self._git.git.checkout("--quiet", "-B", "master")
        self._git.git.branch("--delete", "draft")

    def rename_branch(self, name: str) -> None:
        """Give the branch another name."""
        self._git.git.branch("--move", name)

    def lose_the_tab(self) -> str:
        """Show no tabs of extensions any more; return the commit."""
        self.replace("modules/ui.py", 'script_callbacks.call("ui_tabs")', "[]")
        return self.commit("Show fewer tabs")

    def require(self, *lines: str) -> str:
        """Add requirements; return the commit."""
        self.write("requirements_versions.txt", requirements() + "".join(f"{each}\n" for each in lines))
        return self.commit("Require more")

    def mend(self) -> None:
        """Have the next commit show our tab and require what it did at first."""
        self.write("modules/ui.py", (STANDIN / "modules" / "ui.py").read_text())
        self.write("requirements_versions.txt", requirements())

    def declare(self, root: Path) -> None:
        """Point the images/webui/upstream.toml of a copy of this project at it."""
        target = root / "images" / "webui" / "upstream.toml"
        target.write_text(TOML.format(url=self.url, palette=self.palette))


def requirements() -> str:
    """Return what the stand-in needs, pinned but without hashes, as the WebUI's own requirements are."""
    found = re.findall(r"^([\w.-]+==\S+(?: ; .*?)?) \\$", LOCK.read_text(), re.MULTILINE)
    return "".join(f"{each}\n" for each in found)


def base_image() -> str:
    """Have a base image with all that the stand-in requires, made once an engine; return its name."""
    packages = ROOT / ".venv" / "gradio3" / "lib" / "python3.11" / "site-packages"
    assert packages.is_dir(), "make webuis sets up what the stand-in needs"
    made_of = f"{_inspected(PYTHON_BASE, '{{.Id}}')} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}"
    if _inspected(BASE, '{{index .Config.Labels "made-of"}}') == made_of:
        return BASE
    with tempfile.TemporaryDirectory(prefix="atelier-base-") as folder:
        place = Path(folder) / "packages"
        shutil.copytree(
            packages, place, symlinks=True, ignore=shutil.ignore_patterns("pip", "pip-*", "*.pyi")
        )
        (Path(folder) / "Dockerfile").write_text(BASE_DOCKERFILE)
        options = ["--quiet", "--label", f"made-of={made_of}", "--tag", BASE]
        subprocess.run(["docker", "build", *options, folder], check=True, capture_output=True)
    return BASE


def _inspected(image: str, form: str) -> str:
    command = ["docker", "image", "inspect", "--format", form, image]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _made(folder: Path) -> git.Repo:
    folder.mkdir(parents=True)
    repository = git.Repo.init(folder, initial_branch="master")
    with repository.config_writer() as config:
        for name, value in (("name", "Upstream"), ("email", "upstream@example.invalid")):
            config.set_value("user", name, value)
    return repository


def _commit(repository: git.Repo, message: str) -> str:
    repository.git.add("--all")
    repository.git.commit("--quiet", "--no-verify", "--message", message)
    return repository.head.commit.hexsha
