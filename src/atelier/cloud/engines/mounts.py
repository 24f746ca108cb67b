"""Folders that containers are given, where nothing but their own good will isolates them.

A process sees the folder where it is on this machine: paths in its environment and arguments are turned to
that. What it may only read is mounted so, in a mount namespace of the container's own.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

from atelier.cloud.context import Container, Refused

INSIDE = "/opt/ml/"
SEAL = (
    'while [ "$1" != -- ]; do mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 1; shift; done;'
    ' shift; exec "$@"'
)


def placed(value: str, container: Container) -> str:
    """Return *value* with paths under a mount's target turned to their places here."""
    return ":".join(_placed(each, container) for each in value.split(":")) if container.mounts else value


def _placed(path: str, container: Container) -> str:
    for mount in sorted(container.mounts, key=lambda each: -len(each.target)):
        target = mount.target.rstrip("/")
        if path == target or path.startswith(f"{target}/"):
            return f"{mount.source}{path[len(target) :]}"
    return path


def sealed(container: Container) -> list[str]:
    """Return what a command is run by so that it cannot write where it may only read."""
    folders = [str(each.source.resolve()) for each in container.mounts if each.is_read_only]
    if not folders:
        return []
    alone = namespace()
    if alone is None:
        raise Refused(
            f"container {container.name}: this machine gives a process no mount namespace, so its read-only"
            " volume could be written: use the Docker engine"
        )
    return [*alone, "/bin/sh", "-c", SEAL, "sh", *folders, "--"]


@functools.cache
def namespace() -> tuple[str, ...] | None:
    """Return what gives a command a mount namespace of its own here, if anything does."""
    found = shutil.which("unshare")
    if found is None:
        return None
    options = "-m" if os.geteuid() == 0 else "-Urm"
    command = (found, options, "--propagation", "private")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else None


def laid(container: Container) -> None:
    """Link what is mounted below /opt/ml to where a process looks for it: below the container's own root."""
    if container.root is None:
        return
    for mount in container.mounts:
        if mount.target.startswith(INSIDE):
            place = container.root / mount.target.removeprefix(INSIDE)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(mount.source, target_is_directory=True)
