"""Build the image of a checkout, have it in its ECR repository, and print what the pipeline hands on.

`python images/webui/build.py FOLDER REPOSITORY_URI COMMIT` builds FOLDER, which checkout.py made, under the
tag `<12 digits of upstream's commit>-<12 of ours>`. A tag never moves: an image that is there already is
taken as it is. It needs the `aws` and `docker` commands, and a login to the registry.
"""

import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from declaration import COMMIT, Refused

sys.path.append(str(Path(__file__).parents[1] / "training"))
import publish

SHORT = 12
#: What the environment may say of a build, and the name by which the Dockerfile knows it.
ARGUMENTS = ("BASE_IMAGE", "ACCELERATOR")
#: Lines of docker's output that are searched for reasons, how many reasons are told, and how long one may be.
SEARCHED, REASONS, LONGEST = 200, 2, 300
#: What Docker puts around a line: its step and the time, or a colour.
AROUND = re.compile(r"\x1b\[[\d;]*m|^#\d+ (?:\d+\.\d+ )?|^\d+\.\d+ ")
#: How pip and apt begin what is wrong, and how Docker repeats that something was.
WRONG, REPEATED = ("ERROR: ", "error: ", "E: "), ("ERROR: process ", "ERROR: failed to ")


def main(folder: Path, repository: publish.Repository, commit: str) -> str:
    """Return what a shell exports of the image, built and pushed only if it was not."""
    upstream = _upstream(folder)
    tag = f"{upstream['commit'][:SHORT]}-{commit[:SHORT]}"
    tags = repository.tags()
    if tag not in tags:
        image = f"{repository.uri}:{tag}"
        newest = [f"{repository.uri}:{each}" for each in tags][-1:]
        build(folder, image, labels(upstream, commit, tag), publish.cached(newest))
        tags[tag] = repository.push(tag)
    found = {"IMAGE_TAG": tag, "IMAGE_DIGEST": tags[tag], "IMAGE_URI": f"{repository.uri}@{tags[tag]}"}
    return "".join(f"{name}={value}\n" for name, value in found.items())


def build(folder: Path, image: str, labelled: dict[str, str], cache: list[str]) -> None:
    """Build the image; BuildKit needs to be told that it is to serve as a cache later."""
    options = ["--force-rm", "--tag", image]
    for name, value in labelled.items():
        options += ["--label", f"{name}={value}"]
    for name, value in {**_arguments(folder), **publish.indexes(), "BUILDKIT_INLINE_CACHE": "1"}.items():
        options += ["--build-arg", f"{name}={value}"]
    for each in cache:
        options += ["--cache-from", each]
    code, said = _run("docker", "build", *options, str(folder))
    if code:
        raise publish.Failed(": ".join([f"docker build ended with {code}", *filter(None, [why(said)])]))


def why(said: Sequence[str]) -> str:
    """Return in one line what a failed build says of its reason: what is wrong, or else its last word."""
    lines = [line for each in said if (line := AROUND.sub("", each.strip()).strip())]
    wrong = [each for each in lines if each.startswith(WRONG) and not each.startswith(REPEATED)]
    told = list(dict.fromkeys(wrong))[-REASONS:] or lines[-1:]
    if told and told[-1].startswith("error: "):  # pip does not say here which package it was about
        told += [each for each in lines if each.startswith("Collecting ")][-1:]
    return "; ".join(each.removeprefix("ERROR: ").removeprefix("error: ")[:LONGEST] for each in told)


def _run(*command: str) -> tuple[int, Sequence[str]]:
    """Run a command, whose output goes on to the log; return its exit code and the last that it said."""
    last: deque[str] = deque(maxlen=SEARCHED)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            sys.stderr.write(line)
            last.append(line)
    return process.returncode, last


def labels(upstream: dict[str, str], commit: str, tag: str) -> dict[str, str]:
    """Return the labels that say which commits an image is made of."""
    return {
        "org.opencontainers.image.version": tag,
        "org.opencontainers.image.revision": commit,
        "org.opencontainers.image.source": upstream["repository"],
        "atelier.upstream.commit": upstream["commit"],
        "atelier.upstream.repository": upstream["repository"],
    }


def _arguments(folder: Path) -> dict[str, str]:
    given = {name: os.environ[name] for name in ARGUMENTS if os.environ.get(name)}
    accelerator = given.get("ACCELERATOR", "cpu")
    if not (folder / "requirements" / f"{accelerator}.arguments").is_file():
        raise Refused(f"ACCELERATOR={accelerator}: upstream.toml has no [accelerators.{accelerator}]")
    return given


def _upstream(folder: Path) -> dict[str, str]:
    try:
        taken = json.loads((folder / "checkout.json").read_text(encoding="utf-8"))
        return dict(taken["webui"])
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"{folder} is not what checkout.py makes: run it first") from error


if __name__ == "__main__":
    if len(sys.argv) != 4 or "/" not in sys.argv[2] or not COMMIT.fullmatch(sys.argv[3]):
        sys.exit(
            "usage: build.py FOLDER REPOSITORY_URI COMMIT, where COMMIT is ours, of 40 hexadecimal digits"
        )
    try:
        sys.stdout.write(main(Path(sys.argv[1]), publish.Repository(sys.argv[2]), sys.argv[3]))
    except (Refused, publish.Failed, OSError) as problem:
        sys.exit(f"error: {problem}")
