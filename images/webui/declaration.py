"""What upstream.toml declares, read strictly: a name that nothing reads is a mistake, and said by name."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COMMIT = re.compile(r"[0-9a-f]{40}")
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: A requirement goes to pip and a name to apt: none may be read as an option of theirs.
WORD = re.compile(r"[A-Za-z0-9][^\s;]*")
SCHEMES = ("https", "http", "ssh", "file")


class Refused(Exception):
    """What cannot be built; the text says what is wrong, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A git repository, and what of it is wanted: a pinned commit, or the head of a branch or tag."""

    name: str
    repository: str | None = None
    branch: str | None = None
    tag: str | None = None
    pin: str | None = None

    @property
    def reference(self) -> str:
        """Return the full name of what is followed; HEAD where nothing is named."""
        if self.tag:
            return f"refs/tags/{self.tag}"
        return f"refs/heads/{self.branch}" if self.branch else "HEAD"


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """What an image for CPUs or GPUs has of its own."""

    python: tuple[str, ...]
    index: str | None
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The whole file."""

    upstream: Source
    companions: Mapping[str, Source]
    extensions: Mapping[str, Source]
    packages: Mapping[str, Source]
    system: tuple[str, ...]
    python: tuple[str, ...]
    requirements: str
    leave_out: frozenset[str]
    accelerators: Mapping[str, Accelerator]
    overrides: Mapping[str, str]

    def address(self, repository: str) -> str:
        """Return where a repository is now."""
        return self.overrides.get(plain(repository), repository)


def read(path: Path) -> Declaration:
    """Read the file; raise Refused for the first thing that is wrong with it."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{path}: cannot be read: {error}") from error
    try:
        return _declaration(Table(given, ""))
    except Refused as error:
        raise Refused(f"{path}: {error}") from error


def plain(repository: str) -> str:
    """Return an address as overrides compare it: hosts serve it with .git and without."""
    return repository.rstrip("/").removesuffix(".git")


def canonical(requirement: str) -> str:
    """Return the name of the package that a line of requirements asks for, as packages are compared."""
    named = re.match(r"\s*([A-Za-z0-9][\w.-]*)", requirement)
    return re.sub(r"[-_.]+", "-", named[1]).lower() if named else ""


class Table:
    """A table of the file; what nobody took is refused in the end."""

    def __init__(self, given: Mapping[str, Any], name: str) -> None:
        self._left, self._name = dict(given), name

    def wrong(self, key: str, expected: str) -> Refused:
        """Return the complaint that a key is not what it may be."""
        return Refused(f"{f'{self._name}.' if self._name else ''}{key} must be {expected}")

    def text(self, key: str, form: re.Pattern[str] | None = None, expected: str = "a text") -> str | None:
        """Take a text, or None."""
        value = self._left.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, str) or not value or (form and not form.fullmatch(value)):
            raise self.wrong(key, expected)
        return value

    def texts(self, key: str, form: re.Pattern[str] | None = None) -> tuple[str, ...]:
        """Take a list of texts."""
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(key, "a list of texts")
        if form and (odd := [each for each in value if not form.fullmatch(each)]):
            raise self.wrong(key, f"a list of names, and {odd[0]!r} is none")
        return tuple(value)

    def table(self, key: str) -> "Table":
        """Take a table; an absent one is empty."""
        value = self._left.pop(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return Table(value, f"{self._name}.{key}" if self._name else key)

    def tables(self) -> "dict[str, Table]":
        """Take all that is left, as tables by their names, which are folders' names."""
        for each in self._left:
            if not FOLDER.fullmatch(each):
                raise self.wrong(each, "named as a folder")
        return {each: self.table(each) for each in list(self._left)}

    def pairs(self) -> dict[str, str]:
        """Take all that is left, as texts by their names."""
        return {each: self.text(each) or "" for each in list(self._left)}

    def close(self) -> None:
        """Refuse what nobody took."""
        for each in self._left:
            raise self.wrong(each, "left out: nothing reads it")


def _declaration(given: Table) -> Declaration:
    packages = given.table("packages")
    found = Declaration(
        upstream=_upstream(given.table("upstream")),
        companions={name: _source(name, each) for name, each in given.table("companions").tables().items()},
        extensions=_named(given.table("extensions")),
        packages=_named(packages.table("git")),
        system=packages.texts("system", WORD),
        python=packages.texts("python", WORD),
        requirements=_inside(packages),
        leave_out=frozenset(canonical(each) for each in packages.texts("leave_out", WORD)),
        accelerators={
            name: _accelerator(each) for name, each in given.table("accelerators").tables().items()
        },
        overrides=_overrides(given.table("overrides")),
    )
    packages.close()
    given.close()
    return found


def _upstream(table: Table) -> Source:
    source = _source("upstream", table)
    if not source.repository:
        raise table.wrong("repository", "the address of upstream")
    if bool(source.branch) == bool(source.tag):
        raise table.wrong("branch", "there, or else tag: one of the two is followed")
    return source


def _named(table: Table) -> dict[str, Source]:
    """Read sources that nobody but this file knows."""
    found = {}
    for name, each in table.tables().items():
        found[name] = _source(name, each)
        if not found[name].repository:
            raise each.wrong("repository", "an address")
    return found


def _source(name: str, table: Table) -> Source:
    repository = table.text("repository")
    source = Source(
        name=name,
        repository=_address(table, "repository", repository) if repository else None,
        branch=table.text("branch", *NAME_OF_REFERENCE),
        tag=table.text("tag", *NAME_OF_REFERENCE),
        pin=table.text("pin", COMMIT, "a commit of 40 hexadecimal digits"),
    )
    table.close()
    return source


NAME_OF_REFERENCE = (re.compile(r"[A-Za-z0-9][\w./+-]*"), "the name of a branch or tag")


def problem(address: str) -> str | None:
    """Say what is wrong with an address that git is to take: what it would run, and what holds a password."""
    if re.search(r"\s", address) or not address.startswith(("/", *(f"{each}://" for each in SCHEMES))):
        return f"a URL by {', '.join(SCHEMES)}, or the whole path of a folder"
    parts = urlsplit(address)
    if parts.password or (parts.username and parts.scheme != "ssh"):
        return "an address without a password: it would be seen in git and in logs"
    return None


def _address(table: Table, key: str, address: str) -> str:
    if wrong := problem(address):
        raise table.wrong(key, wrong)
    return address


def _overrides(table: Table) -> dict[str, str]:
    return {plain(each): _address(table, each, address) for each, address in table.pairs().items()}


def _inside(table: Table) -> str:
    """Read the name of a file inside of upstream."""
    name = table.text("requirements") or "requirements.txt"
    if name.startswith("/") or ".." in Path(name).parts:
        raise table.wrong("requirements", "a file inside of upstream")
    return name


def _accelerator(table: Table) -> Accelerator:
    index = table.text("index")
    found = Accelerator(
        python=table.texts("python", WORD),
        index=_address(table, "index", index) if index else None,
        arguments=table.texts("arguments"),
    )
    table.close()
    return found
