"""Reads a Dockerfile strictly: the instructions that this engine runs, the rest refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ALLOWED = ("FROM", "ARG", "ENV", "WORKDIR", "COPY", "LABEL", "RUN", "CMD", "ENTRYPOINT")

REFUSED = {
    "ADD": "use COPY: nothing is downloaded or unpacked here",
    "EXPOSE": "remove it: SageMaker's port is 8080, and SAGEMAKER_BIND_TO_PORT says so where it is another",
    "HEALTHCHECK": "remove it: SageMaker asks GET /ping",
    "MAINTAINER": "write LABEL org.opencontainers.image.authors=...",
    "ONBUILD": "write the instruction into the Dockerfile that needs it",
    "SHELL": "remove it: commands are in exec form",
    "STOPSIGNAL": "remove it: SageMaker sends SIGTERM",
    "USER": "remove it: a container is a process of yours here, and SageMaker runs as root",
    "VOLUME": "remove it: SageMaker mounts /opt/ml",
}

DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(.+?)\s*", re.IGNORECASE)

VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<braced>\w+)(?::(?P<operator>[-+])(?P<word>[^{}$]*))?\})")

TOKEN = re.compile(
    r"(?P<space>\s+)|'(?P<single>[^']*)'|\"(?P<double>(?:\\.|[^\"\\])*)\"|\\(?P<escaped>.)"
    r"|(?P<variable>\$(?:\w+|\{[^}]*\}))|(?P<plain>[^\s'\"\\$]+)",
    re.DOTALL,
)


class DockerfileError(Exception):
    """A line that cannot be built; the text names the file, the line, the instruction and the remedy."""


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined."""

    file: str
    line: int
    name: str
    text: str

    def error(self, problem: str) -> DockerfileError:
        """Return what is wrong with this instruction."""
        return DockerfileError(f"{self.file}:{self.line}: {self.name}: {problem}")

    def __str__(self) -> str:
        """Return the instruction as a build's log shows it."""
        return f"{self.name} {self.text}"


def parse(text: str, file: str = "Dockerfile") -> list[Instruction]:
    """Return the instructions of a Dockerfile; raise DockerfileError for the first that is not allowed."""
    _directives(text, file)
    instructions = [_instruction(file, line, joined) for line, joined in _joined(text)]
    stages = [each for each in instructions if each.name == "FROM"]
    if not stages:
        raise DockerfileError(f"{file}:1: there is no FROM: name a base image such as python:3.11-slim")
    if len(stages) > 1:
        raise stages[1].error("a build of several stages is not supported: keep one FROM")
    first = next(each for each in instructions if each.name != "ARG")
    if first.name != "FROM":
        raise first.error("only ARG may stand before FROM")
    return instructions


def _directives(text: str, file: str) -> None:
    """Refuse parser directives that would change how the rest is read."""
    for number, line in enumerate(text.splitlines(), 1):
        match = DIRECTIVE.fullmatch(line.strip())
        if match is None:
            return
        name, value = match[1].lower(), match[2]
        known = name == "syntax" and value.startswith("docker/dockerfile:1")
        if not known and (name, value) != ("escape", "\\"):
            raise DockerfileError(f"{file}:{number}: # {name}={value}: this directive is not supported")


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Return (line number, logical line): comments gone, continued lines joined."""
    pending: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start if pending else number
        continued = re.fullmatch(r"(.*)\\\s*", line)
        pending.append(continued[1] if continued else line)
        if not continued:
            yield start, "".join(pending).strip()
            pending = []
    if pending:
        yield start, "".join(pending).strip()


def _instruction(file: str, line: int, text: str) -> Instruction:
    name, _, rest = text.replace("\t", " ", 1).partition(" ")
    instruction = Instruction(file, line, name.upper(), rest.strip())
    if instruction.name not in ALLOWED:
        remedy = REFUSED.get(instruction.name, f"write one of {', '.join(ALLOWED)}")
        raise instruction.error(f"is not supported by the process engine; {remedy}")
    if instruction.name in {"RUN", "COPY"} and re.search(r"<<-?['\"]?\w", instruction.text):
        raise instruction.error("a here-document is not supported; COPY a file instead")
    if not instruction.text:
        raise instruction.error("needs an argument")
    return instruction


def words(instruction: Instruction, variables: Mapping[str, str]) -> list[str]:
    """Return the instruction's words: quotes removed, variables put in."""
    found: list[str] = []
    inside, position, text = False, 0, instruction.text
    while position < len(text):
        token = TOKEN.match(text, position)
        if token is None:
            raise instruction.error(f"cannot read {text[position:]!r}: is a quote not closed?")
        position = token.end()
        if token["space"]:
            inside = False
            continue
        value = _value(instruction, token, variables)
        if inside:
            found[-1] += value
        else:
            found.append(value)
        inside = True
    return found


def _value(instruction: Instruction, token: re.Match[str], variables: Mapping[str, str]) -> str:
    kind = token.lastgroup or ""
    if kind == "variable":
        return expand(instruction, token["variable"], variables)
    if kind == "double":
        parts = re.split(r"(\\.|\$(?:\w+|\{[^}]*\}))", token["double"], flags=re.DOTALL)
        return "".join(_quoted(instruction, part, variables) for part in parts)
    return token[kind]


def _quoted(instruction: Instruction, part: str, variables: Mapping[str, str]) -> str:
    if part.startswith("\\"):
        return part[1:] if part[1:] in {'"', "\\", "$"} else part
    return expand(instruction, part, variables) if re.match(r"\$[\w{]", part) else part


def expand(instruction: Instruction, text: str, variables: Mapping[str, str]) -> str:
    """Return what ``$X``, ``${X}``, ``${X:-word}`` or ``${X:+word}`` stands for; unset is empty."""
    match = VARIABLE.fullmatch(text)
    if match is None:
        raise instruction.error(f"{text} is not supported: write ${{X}}, ${{X:-word}} or ${{X:+word}}")
    value = variables.get(match["plain"] or match["braced"], "")
    if match["operator"] == "-":
        return value or match["word"]
    if match["operator"] == "+":
        return match["word"] if value else ""
    return value


def pairs(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the names and values of an ENV or LABEL."""
    found = {}
    for word in words(instruction, variables):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise instruction.error(f"{word!r} has no value: write NAME=value, quoted if it has spaces")
        found[name] = value
    return found


def exec_form(instruction: Instruction) -> list[str]:
    """Return the words of a CMD or ENTRYPOINT in exec form."""
    try:
        value = json.loads(instruction.text)
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        form = f'{instruction.name} ["program", "argument"]'
        raise instruction.error(f"the shell form does not get SIGTERM from SageMaker; write {form}")
    return value
