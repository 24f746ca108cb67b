"""What the buildspecs run: an image is built once for the same files, and has the tag that was asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from containers import TRAINING

URI = "registry.example/team/app"

AWS = """\
import json, os, sys
from pathlib import Path

def options(words):
    return dict(zip(words[::2], words[1::2]))

images = json.loads(Path("ecr.json").read_text())
verb, given = sys.argv[2], options(sys.argv[3:])
assert "team/app" == given["--repository-name"]
with open("done", "a") as log:
    log.write(f"{verb}\\n")
if verb == os.environ.get("REFUSED"):
    sys.exit(f"An error occurred (AccessDeniedException) when calling {verb}")
if verb == "describe-images":
    print(json.dumps({"imageDetails": images}))
elif verb == "batch-get-image":
    wanted = given["--image-ids"].removeprefix("imageDigest=")
    assert wanted in [each["imageDigest"] for each in images]
    found = [] if "DELETED" in os.environ else [{"imageManifest": wanted, "imageManifestMediaType": "m"}]
    print(json.dumps({"images": found}))
elif verb == "put-image":
    (image,) = (each for each in images if each["imageDigest"] == given["--image-manifest"])
    image["imageTags"].append(given["--image-tag"])
    Path("ecr.json").write_text(json.dumps(images))
"""
DOCKER = """\
import json, os, sys
from pathlib import Path

words = sys.argv[1:]
with open("done", "a") as log:
    log.write(" ".join(words) + "\\n")
if words[0] == os.environ.get("FAILS"):
    sys.exit(f"{words[0]} failed")
if words[0] == "push":
    images = json.loads(Path("ecr.json").read_text())
    number = len(images)
    image = {"imageDigest": f"sha256:{number}", "imageTags": [words[1].rpartition(":")[2]]}
    Path("ecr.json").write_text(json.dumps([image | {"imagePushedAt": f"2026-01-{number + 1:02}"}, *images]))
    if "RACE" in os.environ:
        sys.exit("tag invalid: it already exists and cannot be overwritten because the tag is immutable.")
if words[:2] == ["image", "inspect"]:
    sys.exit(0 if words[-1] in os.environ.get("HERE", "") else 1)
print("said by docker")
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM python:3.11\n")
    return folder


@pytest.fixture
def publish(tmp_path, folder):
    """Publish the folder where an `aws` and a `docker` answer; return how it ended, and what was done."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("aws", AWS), ("docker", DOCKER)):
        (programs / name).write_text(f"#!{sys.executable}\n{text}")
        (programs / name).chmod(0o755)
    (tmp_path / "ecr.json").write_text("[]")

    def publish(tag, **environment):
        done = tmp_path / "done"
        done.unlink(missing_ok=True)
        command = [sys.executable, str(TRAINING / "publish.py"), str(folder), URI, tag]
        path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        ended = subprocess.run(command, cwd=tmp_path, env=path | environment, capture_output=True, text=True)
        return ended, done.read_text().splitlines() if done.exists() else []

    return publish


def verbs(done):
    return [each.split()[0] for each in done]


def tags(tmp_path: Path):
    return {
        image["imageDigest"]: image["imageTags"] for image in json.loads((tmp_path / "ecr.json").read_text())
    }


def test_files_that_were_never_built_are_built_and_pushed(publish, tmp_path):
    ended, done = publish("c0ffee")

    assert (0, "sha256:0\n") == (ended.returncode, ended.stdout)
    assert ["build", "push"] == [each for each in verbs(done) if each in {"build", "push"}]
    [(content, tag)] = tags(tmp_path).values()
    assert (True, "c0ffee") == (content.startswith("content-"), tag)
    assert "said by docker" in ended.stderr


def test_a_tag_that_is_there_already_is_not_built_again(publish):
    publish("c0ffee")

    ended, done = publish("c0ffee")

    assert ("sha256:0\n", ["describe-images"]) == (ended.stdout, done)


def test_the_same_files_under_another_tag_are_the_same_image(publish, tmp_path, folder):
    publish("first")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("no content")

    ended, done = publish("second")

    assert "sha256:0\n" == ended.stdout
    assert not {"build", "push"} & set(verbs(done))
    assert ["first", "second"] == tags(tmp_path)["sha256:0"][1:]


def test_another_file_makes_another_image(publish, folder):
    publish("first")
    (folder / "new.py").write_text("")

    ended, _ = publish("second")

    assert "sha256:1\n" == ended.stdout


@pytest.mark.parametrize("is_here", [True, False])
def test_the_newest_image_is_the_cache_of_a_build_and_is_fetched_where_it_is_not_there(
    publish, folder, tmp_path, is_here
):
    publish("first")
    (folder / "new.py").write_text("")
    newest = f"{URI}:first"

    _, done = publish("second", HERE=newest if is_here else "")

    (built,) = (each for each in done if each.startswith("build"))
    assert f"--cache-from {newest}" in built
    assert is_here != (f"pull --quiet {newest}" in done)


def test_a_cache_that_cannot_be_fetched_is_done_without(publish, folder):
    publish("first")
    (folder / "new.py").write_text("")

    ended, done = publish("second", FAILS="pull")

    assert "sha256:1\n" == ended.stdout
    assert not any("--cache-from" in each for each in done)


def test_the_lock_of_this_machine_is_an_argument_of_the_build(publish, folder):
    (folder / "requirements-cpu.lock").write_text("torch==0.0.1+cpu --hash=sha256:0\n")

    _, done = publish("c0ffee", PIP_NO_INDEX="1")

    (built,) = (each for each in done if each.startswith("build"))
    assert "--build-arg LOCK=requirements-cuda.lock" in built


def test_the_indexes_of_this_machine_are_told_to_the_build_but_no_folder_and_no_password(publish):
    ended, done = publish(
        "c0ffee",
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="https://me:secret@index.example/simple",
        PIP_EXTRA_INDEX_URL="file:///packages/simple https://cpu.example/whl",
    )

    (built,) = (each for each in done if each.startswith("build"))
    assert "--build-arg PIP_EXTRA_INDEX_URL=https://cpu.example/whl " in built
    assert "PIP_INDEX_URL" not in built
    assert "pip's index-url holds a password" in ended.stderr
    assert "secret" not in ended.stderr


@pytest.mark.parametrize("step", ["build", "push"])
def test_an_image_that_cannot_be_made_is_a_failure_that_is_named(publish, step):
    ended, _ = publish("c0ffee", FAILS=step)

    assert (1, "") == (ended.returncode, ended.stdout)
    assert f"publish.py: docker {step} ended with 1" in ended.stderr


def test_a_push_that_another_one_was_faster_with_is_as_good(publish):
    ended, done = publish("c0ffee", RACE="1")

    assert (0, "sha256:0\n") == (ended.returncode, ended.stdout)
    assert "cannot be overwritten" in ended.stderr
    assert "push" in verbs(done)


@pytest.mark.parametrize("operation", ["describe-images", "batch-get-image", "put-image"])
def test_what_ecr_refuses_fails_in_its_words_and_prints_no_digest(publish, operation):
    ended, _ = publish("c0ffee", REFUSED=operation)

    assert (1, "") == (ended.returncode, ended.stdout)
    assert "AccessDeniedException" in ended.stderr
    assert f"publish.py: aws ecr {operation} ended with 1" in ended.stderr


def test_an_image_that_is_deleted_before_it_gets_its_tag_is_named(publish):
    ended, _ = publish("c0ffee", DELETED="1")

    assert (1, "") == (ended.returncode, ended.stdout)
    assert "publish.py: team/app has no image sha256:0 any more" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "words", [[], ["nowhere", URI, "tag"], [str(TRAINING / "gpt_neo"), "no-host", "tag"]]
)
def test_a_wrong_call_is_told_how_it_is_meant(words):
    command = [sys.executable, str(TRAINING / "publish.py"), *words]

    ended = subprocess.run(command, capture_output=True, text=True)

    assert 1 == ended.returncode
    assert "usage: publish.py FOLDER REPOSITORY_URI TAG" in ended.stderr


def test_a_machine_without_the_commands_is_told_which_one_is_missing(folder, tmp_path):
    command = [sys.executable, str(TRAINING / "publish.py"), str(folder), URI, "tag"]

    ended = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)

    assert (1, "") == (ended.returncode, ended.stdout)
    assert "publish.py: [Errno 2] No such file or directory: 'aws'" == ended.stderr.strip()
