"""What counts as much worse than the latest good image, and what is published under which names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import build
import parameters
import prove
import pytest
from prove import Figures
from trial import Unproven

GOOD = {"size_bytes": 1_000_000_000, "startup_seconds": 20.0, "image": "told too"}


def figures(size: float = 1e9, seconds: float = 20) -> Figures:
    return Figures(size_bytes=int(size), startup_seconds=seconds)


@pytest.mark.parametrize("found", [figures(), figures(size=1.5e9), figures(seconds=50), figures(1, 0.1)])
def test_what_is_not_much_worse_is_fine(found):
    prove.compare(found, GOOD)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (
            figures(size=1.6e9),
            "the image has 1600 MB, more than 1.5 times the 1000 MB of the latest good one",
        ),
        (figures(seconds=51), "took 51.0 s to start, more than 2 times the 20.0 s of the latest good one"),
    ],
)
def test_what_is_much_worse_is_refused_with_both_figures(found, reason):
    with pytest.raises(Unproven) as refused:
        prove.compare(found, GOOD)

    assert reason in str(refused.value)


def test_figures_are_told_as_a_shell_exports_them():
    assert "SIZE_BYTES=1000000000\nSTARTUP_SECONDS=20.0\n" == figures().exported()


def test_outside_of_a_pipeline_nothing_was_published():
    assert None is parameters.published("provenance", {})


@pytest.mark.parametrize(("status", "expected"), [(200, None), (401, "answered with 401, not 200")])
def test_another_status_than_the_one_wanted_is_refused(status, expected):
    if expected is None:
        prove.expect("the login", 200, status)
    else:
        with pytest.raises(Unproven, match=expected):
            prove.expect("the login", 200, status)


TOOLS = {
    "aws": """\
import json, os, sys
images = json.loads(os.environ["IMAGES"])
if os.path.exists("pushed"):
    images.append({"imageDigest": "sha256:new", "imageTags": [open("pushed").read()], "imagePushedAt": "9"})
print(json.dumps({"imageDetails": images}))
""",
    "docker": """\
import os, sys
words = sys.argv[1:]
open("done", "a").write(" ".join(words) + "\\n")
if words[0] == os.environ.get("FAILS"):
    sys.exit(os.environ.get("SAYS", f"{words[0]} failed"))
if words[0] == "push":
    open("pushed", "w").write(words[-1].rpartition(":")[2])
""",
}
URI = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/atelier/webui"
THEIRS, OURS = "0123456789ab" + "c" * 28, "fedcba987654" + "3" * 28
TAG = "0123456789ab-fedcba987654"


@pytest.fixture
def publish(tmp_path):
    """Run build.py with tools that remember; return how it ended, and what was done."""
    folder = tmp_path / "webui"
    (folder / "requirements").mkdir(parents=True)
    (folder / "requirements" / "cpu.arguments").write_text("")
    taken = {"webui": {"commit": THEIRS, "repository": "https://git.example/webui"}}
    (folder / "checkout.json").write_text(json.dumps(taken))
    for name, text in TOOLS.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{text}")
        program.chmod(0o755)

    def publish(*images, words=("webui", URI, OURS), **variables):
        command = [sys.executable, str(Path(build.__file__)), *words]
        own = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "IMAGES": json.dumps(images)}
        environment = {**os.environ, **own, **variables}
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        done = tmp_path / "done"
        return ended, done.read_text().splitlines() if done.exists() else []

    return publish


def test_an_image_has_both_commits_in_its_tag_and_in_its_labels(publish):
    ended, done = publish(BASE_IMAGE="python:3.11")

    assert f"IMAGE_TAG={TAG}\nIMAGE_DIGEST=sha256:new\nIMAGE_URI={URI}@sha256:new\n" == ended.stdout
    [made] = (each for each in done if each.startswith("build "))
    assert f"--label org.opencontainers.image.revision={OURS}" in made
    assert f"--label atelier.upstream.commit={THEIRS}" in made
    assert "--build-arg BASE_IMAGE=python:3.11" in made
    assert f"push {URI}:{TAG}" in done


def test_an_image_that_was_pushed_before_is_taken_as_it_is(publish):
    ended, done = publish({"imageDigest": "sha256:old", "imageTags": [TAG], "imagePushedAt": "1"})

    assert f"IMAGE_URI={URI}@sha256:old\n" in ended.stdout
    assert [] == done


def test_the_newest_image_is_the_cache_of_the_next(publish):
    _, done = publish({"imageDigest": "sha256:old", "imageTags": ["older"], "imagePushedAt": "1"})

    [made] = (each for each in done if each.startswith("build "))
    assert f"--cache-from {URI}:older" in made


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"FAILS": "build"}, "error: docker build ended with 1: build failed\n"),
        ({"FAILS": "push"}, "docker push ended with 1, and atelier/webui has no image"),
        ({"ACCELERATOR": "tpu"}, "ACCELERATOR=tpu: upstream.toml has no [accelerators.tpu]"),
        ({"words": ("elsewhere", URI, OURS)}, "elsewhere is not what checkout.py makes"),
        ({"words": ("webui", URI, "main")}, "usage: build.py"),
    ],
)
def test_what_fails_says_why_and_hands_nothing_on(publish, given, reason):
    ended, _ = publish(**given)

    assert (1, "") == (ended.returncode, ended.stdout)
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr


PLAIN = """\
Collecting gradio==3.41.2
\x1b[91mERROR: Could not find a version that satisfies the requirement nonesuch==1 (from versions: none)
\x1b[0m\x1b[91mERROR: No matching distribution found for nonesuch==1
\x1b[0m
[notice] A new release of pip is available
The command '/bin/sh -c python -m pip install' returned a non-zero code: 1
"""
BUILDKIT = """\
#12 [ 9/14] RUN python -m pip install --no-cache-dir
#12 1.204 ERROR: Invalid requirement: 'broken==' (from line 4 of /opt/requirements/upstream.txt)
#12 ERROR: process "/bin/sh -c python -m pip install" did not complete successfully: exit code: 1
------
1.204 ERROR: Invalid requirement: 'broken==' (from line 4 of /opt/requirements/upstream.txt)
------
ERROR: failed to solve: process "/bin/sh -c python -m pip install" did not complete successfully
"""
METADATA = """\
Collecting sound==1
Collecting rotten==2 (from -r /opt/requirements/upstream.txt (line 3))
  error: subprocess-exited-with-error
error: metadata-generation-failed
hint: See above for details.
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (PLAIN, "(from versions: none); No matching distribution found for nonesuch==1\n"),
        (BUILDKIT, "1: Invalid requirement: 'broken==' (from line 4 of /opt/requirements/upstream.txt)\n"),
        (METADATA, "metadata-generation-failed; Collecting rotten==2 (from -r"),
        (
            "E: Unable to locate package libnone\nThe command ended",
            "1: E: Unable to locate package libnone\n",
        ),
        ("COPY failed: no such file", "1: COPY failed: no such file\n"),
        (f"ERROR: {'x' * 9999}", f"1: {'x' * 300}\n"),
    ],
)
def test_a_build_that_fails_names_what_was_wrong_in_its_last_line(publish, said, reason):
    ended, _ = publish(FAILS="build", SAYS=said)

    last = ended.stderr.splitlines(keepends=True)[-1]
    assert last.startswith("error: docker build ended with 1: ")
    assert reason in last
    assert said.strip() in ended.stderr
