"""The git repositories on disk, and the hooks that tie a push to the running cloud."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from git import Git, Repo

from atelier.cloud.context import Cloud

Settings = tuple[tuple[str, str, str], ...]

PRE_RECEIVE = """\
#!/bin/sh
# A push while the local cloud is down would start no pipeline: refuse it, so that it is made again.
cat >/dev/null
pid= started=
[ -r "{serving}" ] && read -r pid started <"{serving}"
if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    [ -r "/proc/$pid/stat" ] || exit 0
    [ "$started" = "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 20)" ] && exit 0
fi
echo "The local cloud is not running, so nothing was pushed." >&2
echo "Start it with \\`atelier up\\` and push again." >&2
exit 1
"""

POST_RECEIVE = """\
#!/bin/sh
# Leave a notice of what moved. It appears whole or not at all, and waits if the cloud dies just now.
umask 077
cat >"notices/.$$" && mv "notices/.$$" "notices/$(date +%s).$$"
"""


def folder(cloud: Cloud) -> Path:
    """Return where all repositories are."""
    return cloud.home / "repositories"


def path(cloud: Cloud, name: str) -> Path:
    """Return where the repository *name* is: what git clones from and pushes to."""
    return folder(cloud) / f"{name}.git"


def opened(cloud: Cloud, name: str) -> Repo:
    """Open the repository; close it after use, for git's helper processes.

    The place is said to each git process: GitPython expands a `$` in the folder that it starts git from.
    """
    repository = Repo(path(cloud, name), expand_vars=False)
    repository.git.set_persistent_git_options(git_dir=str(path(cloud, name)))
    return repository


def notices(cloud: Cloud, name: str) -> Path:
    """Return where the repository's pushes leave their notices."""
    return path(cloud, name) / "notices"


def serving(cloud: Cloud) -> Path:
    """Return the file by which a push finds out whether the cloud runs."""
    return folder(cloud) / "serving"


def make(cloud: Cloud, name: str) -> None:
    """Make an empty repository, for its owner only."""
    folder(cloud).mkdir(mode=0o700, parents=True, exist_ok=True)
    place = path(cloud, name)
    # an empty template: no sample hooks, and none that someone's own templates would bring
    Git().init("--bare", "--shared=0600", "--initial-branch=main", "--template=", "--", str(place))
    place.chmod(0o700)
    equip(cloud, name)


def equip(cloud: Cloud, name: str) -> None:
    """Write hooks and settings anew: this cloud's, wherever its home was moved and whatever it was before."""
    place = path(cloud, name)
    hooks = place / "hooks"
    for each in (hooks, place / "notices"):
        each.mkdir(mode=0o700, exist_ok=True)
    text = {"pre-receive": PRE_RECEIVE.format(serving=_quoted(serving(cloud))), "post-receive": POST_RECEIVE}
    for hook, content in text.items():
        aside = place / f"{hook}.new"
        aside.write_text(content, encoding="utf-8")
        aside.chmod(0o700)
        aside.rename(hooks / hook)  # a push that is under way finds one or the other
    with opened(cloud, name) as repository, repository.config_writer() as config:
        for section, option, value in _settings(hooks):
            config.set_value(section, option, value)


def _settings(hooks: Path) -> Settings:
    """Say what a pusher's own git configuration must not change: above all where the hooks are."""
    return (
        ("core", "hooksPath", str(hooks)),
        ("receive", "denyNonFastForwards", "false"),
        ("receive", "denyDeletes", "false"),
        ("receive", "denyDeleteCurrent", "refuse"),
        ("gc", "autoDetach", "false"),
    )


def _quoted(place: Path) -> str:
    """Return a path as it stands inside double quotes of a shell script."""
    text = str(place)
    for special in '\\"$`':
        text = text.replace(special, f"\\{special}")
    return text


def remove(cloud: Cloud, name: str) -> None:
    """Remove the repository and everything in it."""
    place = path(cloud, name)
    doomed = place.with_name(f".{name}.{os.getpid()}.removed")
    if place.exists():
        place.rename(doomed)  # a push that is under way fails instead of writing into half a repository
    shutil.rmtree(doomed, ignore_errors=True)


def references(cloud: Cloud, name: str) -> dict[str, str]:
    """Return branches and tags by full name, with the commit each points to."""
    with opened(cloud, name) as repository:
        lines = repository.git.for_each_ref(
            "refs/heads", "refs/tags", format="%(refname) %(*objectname) %(objectname)"
        ).splitlines()
    return {words[0]: words[1] for words in (line.split() for line in lines)}


def default_branch(cloud: Cloud, name: str) -> str | None:
    """Return the default branch, or None while the repository is empty."""
    with opened(cloud, name) as repository:
        head: Any = repository.head
        return str(head.reference.name) if head.is_valid() else None


def adopt_default_branch(cloud: Cloud, name: str, branch: str) -> None:
    """Make the first branch that was pushed the default one, as CodeCommit does."""
    with opened(cloud, name) as repository:
        if not repository.head.is_valid():
            repository.git.symbolic_ref("HEAD", f"refs/heads/{branch}")


def commit_id(cloud: Cloud, name: str, revision: str) -> str:
    """Return the commit that *revision* names; the zero id and what is gone stay as they are."""
    with opened(cloud, name) as repository:
        resolved = repository.git.rev_parse(
            "--quiet", "--verify", f"{revision}^{{commit}}", with_exceptions=False
        )
    return str(resolved) or revision
