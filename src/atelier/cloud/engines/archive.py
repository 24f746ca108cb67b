"""What a build may read of its context, and the reproducible archives that it makes of it."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


class OutsideContext(Exception):
    """A path that a build may not read; the text says why."""


@dataclass(frozen=True)
class Context:
    """A build's folder: its files without those that .dockerignore names."""

    folder: Path
    ignored: tuple[tuple[bool, re.Pattern[str]], ...] = ()

    @classmethod
    def open(cls, folder: Path, dockerfile: Path) -> Context:
        """Return the context in *folder*; a ``<Dockerfile>.dockerignore`` goes before ``.dockerignore``."""
        for file in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), folder / ".dockerignore"):
            if file.is_file():
                return cls(folder.resolve(), tuple(ignore_rules(file.read_text())))
        return cls(folder.resolve())

    def ignores(self, path: PurePosixPath) -> bool:
        """Say whether .dockerignore leaves *path* out: the last rule that fits it or a parent decides."""
        ignored = False
        candidates = [str(path), *(str(parent) for parent in path.parents if str(parent) != ".")]
        for excluded, rule in self.ignored:
            if any(rule.fullmatch(each) for each in candidates):
                ignored = excluded
        return ignored

    def files(self, source: str) -> tuple[bool, dict[str, Path]]:
        """Return whether *source* is a folder, and its files by their path in it (a file: by its name)."""
        inside = PurePosixPath(source.lstrip("/"))
        if ".." in inside.parts:
            raise OutsideContext(f"{source} is outside of the build context")
        path = self.folder / inside
        if path.exists():
            self._check(path)
        ignored = self.ignores(inside)
        found = (
            {each.relative_to(path).as_posix(): each for each in self._walk(path)} if path.is_dir() else {}
        )
        if not path.exists() or (ignored and not found):
            raise OutsideContext(f"{source} is not in the build context (or .dockerignore leaves it out)")
        return (True, found) if path.is_dir() else (False, {path.name: path})

    def _walk(self, folder: Path) -> Iterator[Path]:
        reincluding = any(not excludes for excludes, _ in self.ignored)
        for path in sorted(folder.iterdir()):
            ignored = self.ignores(PurePosixPath(path.relative_to(self.folder).as_posix()))
            if ignored and not (reincluding and path.is_dir() and not path.is_symlink()):
                continue
            self._check(path)
            if path.is_symlink() and path.is_dir():
                raise OutsideContext(
                    f"{path.relative_to(self.folder)} is a link to a folder: COPY the folder"
                )
            if path.is_dir():
                yield from self._walk(path)
            elif not ignored:
                yield path

    def _check(self, path: Path) -> None:
        """Refuse what leads out of the context, and what is no file or folder."""
        name = path.relative_to(self.folder)
        if not path.resolve().is_relative_to(self.folder):
            raise OutsideContext(f"{name} is a link out of the build context")
        if not path.is_file() and not path.is_dir():
            raise OutsideContext(f"{name} is neither a file nor a folder")


def ignore_rules(text: str) -> Iterator[tuple[bool, re.Pattern[str]]]:
    """Return (excludes, pattern) for each line of a .dockerignore."""
    for line in text.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        if "[" in pattern:
            raise OutsideContext(f".dockerignore: {pattern}: character classes are not supported; use * or ?")
        excludes = not pattern.startswith("!")
        cleaned = str(PurePosixPath(pattern.lstrip("!").strip().strip("/") or "."))
        yield excludes, re.compile("".join(_regex(cleaned)))


def _regex(pattern: str) -> Iterator[str]:
    """Translate a path pattern: ``*`` and ``?`` stay within one name, ``**`` stands for any folders."""
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        yield meaning.get(part) or re.escape(part)


def archive(files: Mapping[str, Path]) -> bytes:
    """Return a tar of image paths and their sources that holds no time and no owner of this machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(files):
            source = files[name]
            body = source.read_bytes()
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size = len(body)
            entry.mode = 0o755 if source.stat().st_mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()
