"""What the WebUI clones when it starts, read from its own launch_utils.py without running it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from declaration import Refused

LAUNCHER = "modules/launch_utils.py"


@dataclass(frozen=True, kw_only=True)
class Clone:
    """One repository that the WebUI wants in its folder repositories/."""

    folder: str
    repository: str
    commit: str | None


def wanted(upstream: Path) -> dict[str, Clone]:
    """Return the clones that upstream makes, by folder; none where it has no such launcher."""
    launcher = upstream / LAUNCHER
    if not launcher.is_file():
        return {}
    try:
        tree = ast.parse(launcher.read_text(encoding="utf-8"), LAUNCHER)
    except (SyntaxError, ValueError) as error:
        raise Refused(f"upstream's {LAUNCHER} cannot be read: {error}") from error
    values = {name: value for node in ast.walk(tree) for name, value in _default(node)}
    clones = [clone for node in ast.walk(tree) if (clone := _clone(node, values))]
    return {each.folder: each for each in clones}


def _default(node: ast.AST) -> list[tuple[str, str]]:
    """Read `name = os.environ.get('NAME', "value")`."""
    match node:
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.Call(
                func=ast.Attribute(attr="get", value=ast.Attribute(attr="environ")),
                args=[_, ast.Constant(value=str(value))],
            ),
        ):
            return [(name, value)]
    return []


def _clone(node: ast.AST, values: Mapping[str, str]) -> Clone | None:
    """Read `git_clone(repo, repo_dir('folder'), "title", commit)`."""
    match node:
        case ast.Call(
            func=ast.Name(id="git_clone"),
            args=[
                repository,
                ast.Call(func=ast.Name(id="repo_dir"), args=[ast.Constant(str(folder))]),
                *more,
            ],
        ):
            where = _text(repository, values)
            commit = _text(more[1], values) if len(more) > 1 else None
            return Clone(folder=folder, repository=where, commit=commit) if where else None
    return None


def _text(node: ast.expr, values: Mapping[str, str]) -> str | None:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.Name(id=name):
            return values.get(name)
    return None
