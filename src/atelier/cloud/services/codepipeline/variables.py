"""References such as ``#{SourceVariables.CommitId}`` in action configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

REFERENCE = re.compile(r"#\{([^{}]*)\}")
NAME = re.compile(r"[A-Za-z0-9@_-]+")
PIPELINE = "codepipeline"
DECLARED = "variables"
EXECUTION = frozenset({"PipelineExecutionId"})


class Unresolved(Exception):
    """A reference that names no variable; the text is the reference."""


@dataclass(frozen=True)
class Reference:
    """One reference: *namespace* and *key* are empty when it has not that form."""

    text: str
    namespace: str = ""
    key: str = ""


def references(value: str) -> Iterator[Reference]:
    """Yield the references in *value*."""
    for match in REFERENCE.finditer(value):
        yield _parse(match[1])


def _parse(text: str) -> Reference:
    namespace, dot, key = text.partition(".")
    if dot and NAME.fullmatch(namespace) and NAME.fullmatch(key):
        return Reference(text, namespace, key)
    return Reference(text)


def resolve(value: str, known: Mapping[str, Mapping[str, str]]) -> str:
    """Put in the values of all references; raise Unresolved with the first that is not *known*."""

    def replace(match: re.Match[str]) -> str:
        reference = _parse(match[1])
        try:
            return known[reference.namespace][reference.key]
        except KeyError:
            raise Unresolved(reference.text) from None

    return REFERENCE.sub(replace, value)
