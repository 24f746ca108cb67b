"""buildspec.yml, version 0.2: read strictly, so that no line of it is ignored.

Every scalar is read as the text that stands there: ``3.10`` stays ``3.10`` and ``yes`` stays ``yes``.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from atelier.cloud.services.codebuild.failures import Invalid

PHASES = ("install", "pre_build", "build", "post_build")
SHELLS = {"sh": "/bin/sh", "/bin/sh": "/bin/sh", "bash": "bash", "/bin/bash": "bash"}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

TOP = {"version", "env", "phases", "artifacts"}
ENV = {"shell", "variables", "parameter-store", "secrets-manager", "exported-variables"}
PHASE = {"commands", "finally", "on-failure"}
ARTIFACTS = {"files", "name", "discard-paths", "base-directory", "exclude-paths", "enable-symlinks"}

ELSEWHERE = {
    "run-as": "every command runs as this machine's user",
    "proxy": "there is no explicit proxy server",
    "batch": "a build is one build",
    "reports": "there are no report groups",
    "cache": "pip's downloads and image layers are cached without it",
    "git-credential-helper": "CodeCommit repositories are local folders",
}
"""What AWS reads and this machine does not, and why."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """The commands of one phase."""

    commands: tuple[str, ...]
    last: tuple[str, ...] = ()
    """What ``finally`` lists: run whether the commands succeeded or not."""
    on_failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """Which files a build hands on."""

    files: tuple[str, ...]
    base_directory: str = "."
    exclude_paths: tuple[str, ...] = ()
    discard_paths: bool = False
    enable_symlinks: bool = False


@dataclass(frozen=True, kw_only=True)
class Buildspec:
    """What a build does."""

    phases: Mapping[str, Phase]
    python: str | None = None
    shell: str = "/bin/sh"
    variables: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    exported: tuple[str, ...] = ()
    artifacts: Artifacts | None = None
    secondary: Mapping[str, Artifacts] = field(default_factory=dict)


class _Texts(yaml.BaseLoader):
    """Leaves scalars as they are written, and refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of *node*."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key in keys if not isinstance(key, Hashable) or keys.count(key) > 1]
        if twice:
            raise Invalid(f"line {node.start_mark.line + 1}: {twice[0]} is there twice")
        return super().construct_mapping(node, deep=deep)


def parse(text: str) -> Buildspec:
    """Read a buildspec, or raise Invalid with what is wrong with it."""
    try:
        document = yaml.load(text, Loader=_Texts)  # makes nothing but texts, lists and mappings
    except yaml.YAMLError as error:
        raise Invalid(" ".join(str(error).split())) from error
    document = _mapping(document, "the buildspec", TOP)
    if document.get("version") != "0.2":
        raise Invalid(f"version {document.get('version', '(none)')} is not supported: write `version: 0.2`")
    env = _mapping(document.get("env", {}), "env", ENV)
    phases = _mapping(document.get("phases", ""), "phases", set(PHASES))
    artifacts, secondary = _artifacts(document.get("artifacts"))
    return Buildspec(
        phases={name: _phase(name, phases[name]) for name in PHASES if name in phases},
        python=_python(phases.get("install")),
        shell=_choice(env.get("shell", "/bin/sh"), "env.shell", SHELLS),
        variables=_variables(env, "variables"),
        parameters=_variables(env, "parameter-store"),
        secrets=_variables(env, "secrets-manager"),
        exported=_names(env),
        artifacts=artifacts,
        secondary=secondary,
    )


def _mapping(value: Any, where: str, keys: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Invalid(f"{where} must be a mapping")
    for key in value if keys is not None else ():
        if key in ELSEWHERE and key not in (keys or ()):
            raise Invalid(f"{where}: {key} is not part of the local cloud: {ELSEWHERE[key]}")
        if key not in (keys or ()):
            raise Invalid(f"{where}: {key} is not known; known are {', '.join(sorted(keys or ()))}")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise Invalid(f"{where} must be a list with something in it")
    for index, each in enumerate(value):
        if isinstance(each, dict):
            raise Invalid(f"Expected {where}[{index}] to be of string type: found subkeys instead: quote it")
        if not isinstance(each, str) or not each.strip():
            raise Invalid(f"Expected {where}[{index}] to be of string type")
    return tuple(value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{where} must be a text")
    return value


def _choice(value: Any, where: str, choices: Mapping[str, str]) -> str:
    if value not in choices:
        raise Invalid(f"{where}: {value} is not supported; supported are {', '.join(choices)}")
    return choices[value]


def _variables(env: Mapping[str, Any], key: str) -> dict[str, str]:
    variables = _mapping(env.get(key, {}), f"env.{key}")
    for name, value in variables.items():
        _check_name(name, f"env.{key}")
        _text(value, f"env.{key}.{name}")
    return variables


def _names(env: Mapping[str, Any]) -> tuple[str, ...]:
    if "exported-variables" not in env:
        return ()
    names = _texts(env["exported-variables"], "env.exported-variables")
    for name in names:
        _check_name(name, "env.exported-variables")
    return names


def _check_name(name: str, where: str) -> None:
    if not NAME.fullmatch(name):
        raise Invalid(f"{where}: {name!r} is no name for a variable")
    if name.startswith("CODEBUILD_"):
        raise Invalid(f"{where}: {name}: names that begin with CODEBUILD_ are CodeBuild's own")


def _phase(name: str, value: Any) -> Phase:
    where = f"phases.{name}"
    keys = PHASE | {"runtime-versions"} if name == "install" else PHASE
    phase = _mapping(value, where, keys)
    if not phase.keys() & {"commands", "finally", "runtime-versions"}:
        raise Invalid(f"{where} has no commands")
    failure = {"ABORT": "ABORT", "CONTINUE": "CONTINUE"}
    return Phase(
        commands=_texts(phase["commands"], f"{where}.commands") if "commands" in phase else (),
        last=_texts(phase["finally"], f"{where}.finally") if "finally" in phase else (),
        on_failure=_choice(phase["on-failure"], f"{where}.on-failure", failure)
        if "on-failure" in phase
        else None,
    )


def _python(install: Any) -> str | None:
    if not isinstance(install, dict) or "runtime-versions" not in install:
        return None
    where = "phases.install.runtime-versions"
    runtimes = _mapping(install["runtime-versions"], where)
    if other := sorted(runtimes.keys() - {"python"}):
        raise Invalid(
            f"{where}: {other[0]} is not part of the local cloud: install it on this machine instead"
        )
    return _text(runtimes.get("python", ""), f"{where}.python") or None


def _artifacts(value: Any) -> tuple[Artifacts | None, dict[str, Artifacts]]:
    if value is None:
        return None, {}
    primary = _mapping(value, "artifacts", ARTIFACTS | {"secondary-artifacts"})
    secondary = _mapping(primary.get("secondary-artifacts", {}), "artifacts.secondary-artifacts")
    others = {
        key: _set(_mapping(each, f"artifacts.secondary-artifacts.{key}", ARTIFACTS), f"artifacts.{key}")
        for key, each in secondary.items()
    }
    if "files" not in primary and others:
        return None, others
    return _set(primary, "artifacts"), others


def _set(value: Mapping[str, Any], where: str) -> Artifacts:
    yes = {"yes": "yes", "no": "", "true": "yes", "false": ""}
    excluded = value.get("exclude-paths")
    return Artifacts(
        files=_texts(value.get("files"), f"{where}.files"),
        base_directory=_text(value.get("base-directory", "."), f"{where}.base-directory"),
        exclude_paths=_texts(excluded, f"{where}.exclude-paths") if excluded is not None else (),
        discard_paths=bool(_choice(value.get("discard-paths", "no"), f"{where}.discard-paths", yes)),
        enable_symlinks=bool(_choice(value.get("enable-symlinks", "no"), f"{where}.enable-symlinks", yes)),
    )
