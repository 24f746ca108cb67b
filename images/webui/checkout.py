"""Check out what an image is made of, and lay it out for `docker build`.

`python images/webui/checkout.py COMMIT FOLDER` makes FOLDER and prints UPSTREAM_COMMIT and UPSTREAM_URL, as
lines that a shell exports. COMMIT is one of upstream's branch, `head`, or `latest-good`: that of the latest
good image, which the SSM parameter $ParameterPath/upstream-commit names; the head where there is none yet.
"""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import companions
import declaration
import parameters
import repositories
from declaration import COMMIT, Declaration, Refused, Source

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LATEST_GOOD, HEAD = "latest-good", "head"
#: Which commits are in a folder; what has it was made here.
TOLD = "checkout.json"
#: What the SageMaker face has in common with the diffusion image.
SHARED = ("__init__.py", "cache.py", "envelope.py", "errors.py", "forms.py", "s3.py")
NOT_CONTENT = shutil.ignore_patterns("__pycache__", "*.pyc", ".git")


@dataclass
class Checkout:
    """A folder being filled, and which commit of what is in it."""

    declared: Declaration
    folder: Path
    taken: dict[str, dict[str, str]] = field(default_factory=dict)

    def upstream(self, wanted: str | None) -> None:
        """Check out upstream at the commit that is wanted."""
        source = self.declared.upstream
        address = self.declared.address(source.repository or "")
        commit = repositories.follow(source, address, wanted, self.folder / "webui")
        self._note("webui", address, commit)

    def companions(self) -> None:
        """Check out what upstream would clone when it starts."""
        wanted = companions.wanted(self.folder / "webui")
        for name in sorted(wanted.keys() - self.declared.companions.keys()):
            raise Refused(
                f"upstream clones {wanted[name].repository} into repositories/{name} when it starts:"
                f" name {name} in [companions] of upstream.toml"
            )
        found = []
        for name, source in self.declared.companions.items():
            clone = wanted.get(name)
            repository = source.repository or (clone.repository if clone else None)
            if repository is None:
                sys.stderr.write(f"checkout.py: companions.{name}: upstream does not clone it any more\n")
                continue
            theirs = None if source.branch or source.tag or clone is None else clone.commit
            found.append((source, repository, source.pin or theirs))
        self._all("repositories", found)

    def extras(self) -> None:
        """Check out extensions to bundle, and packages to install from git."""
        for kind, sources in (
            ("extensions", self.declared.extensions),
            ("packages", self.declared.packages),
        ):
            self._all(kind, [(each, each.repository or "", each.pin) for each in sources.values()])

    def _all(self, kind: str, wanted: list[tuple[Source, str, str | None]]) -> None:
        (self.folder / kind).mkdir(exist_ok=True)

        def take(each: tuple[Source, str, str | None]) -> None:
            source, repository, commit = each
            address, place = self.declared.address(repository), f"{kind}/{source.name}"
            found = repositories.take(address, commit, source.reference, self.folder / place)
            self._note(place, address, found)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(take, wanted))

    def _note(self, place: str, address: str, commit: str) -> None:
        self.taken[place] = {"repository": address, "commit": commit}
        sys.stderr.write(f"{place}: {commit[:12]} of {address}\n")

    def lay_out(self) -> None:
        """Put in what is ours, and the lists of what is to be installed."""
        extension = self.folder / "extensions" / "atelier"
        if extension.exists():
            raise Refused("[extensions] of upstream.toml names atelier: that is ours, and bundled anyway")
        shutil.copytree(ROOT / "extension", extension, ignore=NOT_CONTENT)
        shutil.copytree(HERE / "program", self.folder / "program", ignore=NOT_CONTENT)
        shared = self.folder / "program" / "diffusion"
        shared.mkdir()
        for name in SHARED:
            shutil.copy(ROOT / "images" / "training" / "diffusion" / "diffusion" / name, shared)
        for name in ("Dockerfile", ".dockerignore", "face.lock"):
            shutil.copy(HERE / name, self.folder)
        self._requirements()
        told = json.dumps(dict(sorted(self.taken.items())), indent=2) + "\n"
        (self.folder / TOLD).write_text(told, encoding="utf-8")

    def _requirements(self) -> None:
        folder = self.folder / "requirements"
        folder.mkdir()
        wanted = self._inside("webui", self.declared.requirements).read_text(encoding="utf-8").splitlines()
        left = self.declared.leave_out
        _write(folder / "upstream.txt", [each for each in wanted if declaration.canonical(each) not in left])
        more = list(self.declared.python)
        for name in sorted(self.declared.extensions):
            if (self.folder / "extensions" / name / "requirements.txt").exists():
                listed = self._inside(f"extensions/{name}", "requirements.txt")
                more.append(listed.read_text(encoding="utf-8").strip())
        _write(folder / "more.txt", more)
        _write(folder / "packages.txt", [f"./packages/{name}" for name in self.declared.packages])
        _write(folder / "system.txt", list(self.declared.system))
        for name, each in self.declared.accelerators.items():
            index = [f"--extra-index-url {each.index}"] if each.index else []
            _write(folder / f"{name}.txt", [*index, *each.python])
            _write(folder / f"{name}.arguments", list(each.arguments))

    def _inside(self, place: str, name: str) -> Path:
        """Return a file of a checkout; refuse a link that leads out of it."""
        root = (self.folder / place).resolve()
        path = (root / name).resolve()
        if not path.is_file() or not path.is_relative_to(root):
            raise Refused(f"{place} at {self.taken[place]['commit'][:12]} has no file {name}")
        return path


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def commit(word: str) -> str | None:
    """Return the commit that a word stands for, or None for the head."""
    if word == LATEST_GOOD:
        return parameters.published("upstream-commit", os.environ)
    if word != HEAD and not COMMIT.fullmatch(word):
        raise Refused(f"{word!r} is neither a commit of 40 hexadecimal digits, nor {LATEST_GOOD}, nor {HEAD}")
    return None if word == HEAD else word


def readable(folder: Path) -> None:
    """Let the WebUI's own user read all: a build may run under any umask, and no layer depends on it."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def empty(folder: Path) -> None:
    """Make an empty folder of one that was made here; anything else is somebody's, and stays."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / TOLD).is_file():
        raise Refused(f"{folder} holds what checkout.py did not make: name another folder, or an empty one")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / TOLD).write_text("{}\n", encoding="utf-8")


def main(word: str, folder: Path) -> str:
    """Fill the folder; return what a shell exports."""
    declared = declaration.read(HERE / "upstream.toml")
    wanted = commit(word)
    empty(folder)
    checkout = Checkout(declared, folder)
    checkout.upstream(wanted)
    checkout.companions()
    checkout.extras()
    checkout.lay_out()
    readable(folder)
    found = checkout.taken["webui"]
    return f"UPSTREAM_COMMIT={found['commit']}\nUPSTREAM_URL={found['repository']}\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: checkout.py COMMIT FOLDER, where COMMIT may be latest-good or head")
    try:
        sys.stdout.write(main(sys.argv[1], Path(sys.argv[2])))
    except (Refused, OSError) as problem:
        sys.exit(f"error: {problem}")
