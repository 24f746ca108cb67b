"""Builds an image from a Dockerfile: what `docker build` does in the process engine."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from json import loads
from pathlib import Path
from typing import Any

from atelier.cloud.engines.archive import Context, OutsideContext, archive
from atelier.cloud.engines.dockerfile import (
    DockerfileError,
    Instruction,
    exec_form,
    pairs,
    parse,
    words,
)
from atelier.cloud.engines.images import (
    DEPENDENCIES,
    FILES,
    Image,
    ImageStore,
    Layer,
    architecture,
    assemble,
    encode,
)
from atelier.cloud.engines.layers import InstallFailed, Interpreter, Layers, Log, interpreter

BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

BASE_IMAGE = re.compile(r"(?:[\w.:-]+/)*python:(\d+\.\d+)(?:\.\d+)?(?:-[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")

EPOCH = "1970-01-01T00:00:00Z"
"""An image that told its build's time would differ from every other build of the same files."""

NOTICE = (
    "Atelier's process engine builds this image. It will run as ordinary processes of this machine, as you:",
    "nothing isolates them, and of the base image only its Python is there.",
)

PIP_OPTIONS = frozenset({"--no-cache-dir", "--disable-pip-version-check", "--no-input"})
"""Options that change nothing of an image here: pip's cache lies outside of it in any case."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to build."""

    context: Path
    dockerfile: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def build(order: Order, *, store: ImageStore, layers: Layers, log: Log) -> Image:
    """Build an image and keep it; raise DockerfileError with the line that cannot be built."""
    try:
        text = order.dockerfile.read_text(encoding="utf-8")
        context = Context.open(order.context, order.dockerfile)
    except (OSError, UnicodeDecodeError, OutsideContext) as error:
        raise DockerfileError(f"{order.dockerfile}: cannot be read: {error}") from error
    instructions = parse(text, order.dockerfile.name)
    for line in NOTICE:
        log(line)
    builder = Builder(order, context, store, layers, log)
    for number, instruction in enumerate(instructions, 1):
        log(f"Step {number}/{len(instructions)} : {instruction}")
        builder.run(instruction)
    return builder.finish()


class Builder:
    """The state of one build, instruction by instruction."""

    def __init__(self, order: Order, context: Context, store: ImageStore, layers: Layers, log: Log) -> None:
        self._order, self._context, self._store, self._cache, self._log = order, context, store, layers, log
        self._python: Interpreter | None = None
        self._wanted = ""
        self._before_from: dict[str, str] = {}
        self._arguments: dict[str, str] = {}
        self._consumed: set[str] = set()
        self._env = {"PATH": BASE_PATH, "LANG": "C.UTF-8"}
        self._labels: dict[str, str] = {}
        self._working_dir = "/"
        self._entrypoint: list[str] | None = None
        self._cmd: list[str] | None = None
        self._files: dict[str, Path] = {}
        self._locks: list[str] = []
        self._layers: list[Layer] = []
        self._history: list[dict[str, Any]] = []

    def run(self, instruction: Instruction) -> None:
        """Take one instruction."""
        handlers: dict[str, Callable[[Instruction], None]] = {
            "ARG": self._arg,
            "FROM": self._from,
            "ENV": self._set_env,
            "LABEL": self._label,
            "WORKDIR": self._workdir,
            "COPY": self._copy,
            "RUN": self._install,
            "CMD": self._set_cmd,
            "ENTRYPOINT": self._set_entrypoint,
        }
        before = len(self._layers)
        try:
            handlers[instruction.name](instruction)
        except (OutsideContext, InstallFailed, OSError, ValueError) as error:
            raise instruction.error(str(error)) from error
        if self._python is not None:
            empty = {"empty_layer": True} if len(self._layers) == before else {}
            self._history.append({"created": EPOCH, "created_by": str(instruction), **empty})

    def finish(self) -> Image:
        """Return the image, kept with its environment."""
        assert self._python is not None
        if unused := sorted(self._order.arguments.keys() - self._consumed):
            self._log(f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed")
        self._environment()
        image = assemble(self._configuration(), self._layers)
        self._store.save(image)
        self._store.environments.put("", image.digest, self._cache.key(self._locks, self._python))
        return image

    def _configuration(self) -> dict[str, Any]:
        inherited = None if self._entrypoint else ["python3"]
        return {
            "architecture": architecture(),
            "os": "linux",
            "created": EPOCH,
            "config": {
                "Env": [f"{name}={value}" for name, value in self._env.items()],
                "Entrypoint": self._entrypoint,
                "Cmd": self._cmd if self._cmd is not None else inherited,
                "WorkingDir": self._working_dir,
                "Labels": {**self._labels, **self._order.labels},
            },
            "rootfs": {"type": "layers", "diff_ids": [each.digest for each in self._layers]},
            "history": self._history,
            "atelier": {"engine": "process", "python": self._wanted},
        }

    @property
    def _variables(self) -> dict[str, str]:
        return {**self._arguments, **self._env} if self._python else self._before_from

    def _arg(self, instruction: Instruction) -> None:
        for word in words(instruction, self._variables):
            name, equals, default = word.partition("=")
            values = self._arguments if self._python else self._before_from
            if name in self._order.arguments:
                values[name] = self._order.arguments[name]
                self._consumed.add(name)
            elif equals:
                values[name] = default
            elif self._python and name in self._before_from:
                values[name] = self._before_from[name]

    def _from(self, instruction: Instruction) -> None:
        named = words(instruction, self._variables)
        if named[0].startswith("--"):
            raise instruction.error(f"{named[0].partition('=')[0]} is not supported: remove it")
        if len(named) != 1 and (len(named) != 3 or named[1].upper() != "AS"):
            raise instruction.error("takes one image, as in FROM python:3.11-slim-bookworm")
        match = BASE_IMAGE.fullmatch(named[0])
        if match is None:
            raise instruction.error(
                f"{named[0]!r} is not a Python base image; without Docker, name one such as python:3.11-slim"
            )
        self._wanted, self._python = match[1], interpreter(match[1])
        self._log(f" ---> Python {self._python.version.split()[0]} of this machine")
        if self._python.minor != match[1]:
            self._log(f"WARNING: no Python {match[1]} runs here: {self._python.minor} stands in for it")

    def _set_env(self, instruction: Instruction) -> None:
        for name, value in pairs(instruction, self._variables).items():
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise instruction.error(f"{name!r} is no name of a variable: use letters, digits and _")
            self._env[name] = value

    def _label(self, instruction: Instruction) -> None:
        self._labels.update(pairs(instruction, self._variables))

    def _workdir(self, instruction: Instruction) -> None:
        named = words(instruction, self._variables)
        if len(named) != 1 or not named[0]:
            raise instruction.error("takes one folder")
        self._working_dir = self._absolute(named[0])

    def _set_cmd(self, instruction: Instruction) -> None:
        self._cmd = exec_form(instruction)

    def _set_entrypoint(self, instruction: Instruction) -> None:
        self._entrypoint = exec_form(instruction)

    def _absolute(self, path: str) -> str:
        return posixpath.normpath("/" + posixpath.join(self._working_dir, path).lstrip("/"))

    def _copy(self, instruction: Instruction) -> None:
        named = self._copied(instruction)
        *sources, target = named
        place, added = self._absolute(target), dict[str, Path]()
        into_folder = len(sources) > 1 or target.endswith(("/", "/.", "/..")) or self._is_folder(place)
        if len(sources) > 1 and not target.endswith("/"):
            raise instruction.error(f"with several sources the target must end with /: {target}/")
        for source in sources:
            is_folder, files = self._context.files(source)
            for name, path in files.items():
                added[posixpath.join(place, name) if is_folder or into_folder else place] = path
        self._files.update(added)
        self._add(FILES, archive(added))

    def _copied(self, instruction: Instruction) -> list[str]:
        text = instruction.text
        named = loads(text) if text.startswith("[") else words(instruction, self._variables)
        if flags := [each for each in named if each.startswith("--")]:
            raise instruction.error(f"{flags[0].partition('=')[0]} is not supported: remove it")
        if globs := [each for each in named[:-1] if re.search(r"[*?\[]", each)]:
            raise instruction.error(f"{globs[0]}: patterns are not supported: name the files or their folder")
        if len(named) < 2:
            raise instruction.error("takes at least a source and a target")
        return named

    def _is_folder(self, place: str) -> bool:
        above = place.rstrip("/") + "/"
        return f"{self._working_dir}/".startswith(above) or any(
            name.startswith(above) for name in self._files
        )

    def _install(self, instruction: Instruction) -> None:
        file = lock_named(instruction, words(instruction, self._variables))
        source = self._files.get(self._absolute(file))
        if source is None:
            raise instruction.error(f"{file} is not in the image: COPY it first")
        lock = source.read_text(encoding="utf-8")
        if include := re.search(r"^\s*(-[rce]\b|--(requirement|constraint|editable)).*", lock, re.MULTILINE):
            raise instruction.error(f"{file}: {include[0].strip()!r}: a lock must be whole in itself")
        self._locks.append(lock)
        self._environment()
        assert self._python is not None
        python = self._python
        made_of = {"lock": lock, "python": python.minor, "implementation": python.implementation}
        self._add(DEPENDENCIES, encode({**made_of, "platform": python.platform}))

    def _environment(self) -> None:
        """Have the environment of the locks so far."""
        assert self._python is not None
        key = self._cache.key(self._locks, self._python)
        if self._cache.ready(key):
            self._log(f" ---> Using cache {key[:12]}")
        self._cache.environment(self._locks, self._python, self._log)

    def _add(self, media_type: str, body: bytes) -> None:
        digest = self._store.put(body)
        self._layers.append(Layer(media_type, digest, len(body)))
        self._log(f" ---> {digest.partition(':')[2][:12]}")


def lock_named(instruction: Instruction, command: list[str]) -> str:
    """Return the lock file of a ``pip install --require-hashes -r FILE``; refuse every other command."""
    form = "only `pip install --require-hashes -r FILE` runs without Docker"
    if re.search(r"[;&|<>`()]", instruction.text) or instruction.text.startswith("["):
        raise instruction.error(form)
    rest = command[2:] if command[:2] in (["python", "-m"], ["python3", "-m"]) else command
    if rest[:1] not in (["pip"], ["pip3"]) or rest[1:2] != ["install"]:
        raise instruction.error(form)
    options = " ".join(rest[2:])
    match = re.search(r"(?:^|\s)(?:-r|--requirement)[ =](\S+)", options)
    if match is None or "--require-hashes" not in rest:
        raise instruction.error(form)
    left = set(options.replace(match[0], " ", 1).split()) - PIP_OPTIONS - {"--require-hashes"}
    if left:
        raise instruction.error(f"pip option {sorted(left)[0]!r} is not supported: {form}")
    return match[1]
