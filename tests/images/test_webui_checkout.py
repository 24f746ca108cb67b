"""What an image is made of: exactly one commit of what is followed, with all that it wants."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import SHARED
from standin_upstream import PALETTE, ROOT, Upstream

from atelier.contract import webui

AWS = """\
import os, sys
assert ["ssm", "get-parameter", "--name", "/tests/webui/upstream-commit"] == sys.argv[1:5]
answer = os.environ["PUBLISHED"]
sys.exit(answer) if answer.startswith("An error") else print(answer)
"""
NOT_FOUND = "An error occurred (ParameterNotFound) when calling the GetParameter operation"
DENIED = "An error occurred (AccessDeniedException) when calling the GetParameter operation"


@pytest.fixture
def upstream(tmp_path):
    return Upstream(tmp_path / "repositories")


@pytest.fixture
def project(tmp_path, upstream):
    """A copy of what this project needs, which follows the stand-in."""
    root = tmp_path / "project"
    for name in ("images", "extension"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    upstream.declare(root)
    return root


@pytest.fixture
def checkout(tmp_path, project):
    """Check out; return how it ended, and the folder."""
    program = tmp_path / "bin" / "aws"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{AWS}")
    program.chmod(0o755)

    def checkout(word="head", **variables):
        folder = tmp_path / "build" / "webui"
        command = [sys.executable, "images/webui/checkout.py", word, str(folder)]
        own = {"PATH": f"{program.parent}:{os.environ['PATH']}", **variables}
        ended = subprocess.run(
            command, cwd=project, env={**os.environ, **own}, capture_output=True, text=True
        )
        return ended, folder

    return checkout


def told(ended):
    assert 0 == ended.returncode, ended.stderr
    return dict(line.split("=", 1) for line in ended.stdout.splitlines())


def refused(ended):
    assert (1, "") == (ended.returncode, ended.stdout)
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]


def change(project: Path, old: str, new: str) -> None:
    path = project / "images" / "webui" / "upstream.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_the_head_is_laid_out_with_what_it_clones_and_our_extension(checkout, upstream):
    ended, folder = checkout()

    assert {"UPSTREAM_COMMIT": upstream.head, "UPSTREAM_URL": upstream.url} == told(ended)
    assert (folder / "webui" / "launch.py").is_file()
    assert (folder / "repositories" / PALETTE / "palette.json").is_file()
    assert (folder / "extensions" / "atelier" / "scripts" / "atelier_webui_script.py").is_file()
    assert [] == list(folder.rglob(".git"))
    assert upstream.head == json.loads((folder / "checkout.json").read_text())["webui"]["commit"]
    assert "gradio==3.41.2\n" in (folder / "requirements" / "upstream.txt").read_text()


def test_exactly_the_commit_that_is_named_is_taken_not_the_newest(checkout, upstream):
    wanted = upstream.head
    upstream.write("newer.txt", "newer")
    upstream.commit()

    ended, folder = checkout(wanted)

    assert wanted == told(ended)["UPSTREAM_COMMIT"]
    assert not (folder / "newer.txt").exists()


def test_a_pin_holds_whatever_is_asked_for(checkout, upstream, project):
    pinned = upstream.head
    change(project, 'branch = "master"', f'branch = "master"\npin = "{pinned}"')

    ended, _ = checkout(upstream.commit())

    assert pinned == told(ended)["UPSTREAM_COMMIT"]


def test_a_commit_that_a_force_push_took_away_is_refused(checkout, upstream):
    upstream.commit()
    gone = upstream.rewrite()

    ended, _ = checkout(gone)

    assert f"commit {gone} is not in branch master" in refused(ended)
    assert "was its history rewritten?" in refused(ended)


def test_a_commit_of_another_branch_is_refused(checkout, upstream):
    upstream.git("checkout", "--quiet", "-b", "aside")
    aside = upstream.commit()
    upstream.git("checkout", "--quiet", "master")

    ended, _ = checkout(aside)

    assert f"commit {aside} is not in branch master" in refused(ended)


def test_a_branch_that_was_renamed_is_refused(checkout, upstream):
    upstream.rename_branch("main")

    ended, _ = checkout()

    assert f"error: {upstream.url} has no refs/heads/master: was it renamed or deleted?" == refused(ended)


def test_an_upstream_that_is_away_is_refused(checkout, upstream):
    shutil.rmtree(upstream.folder)

    ended, _ = checkout()

    assert f"{upstream.url} cannot be fetched: " in refused(ended)


def test_submodules_are_refused(checkout, upstream):
    upstream.write(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = https://git.example/x\n')
    upstream.commit()

    ended, _ = checkout()

    assert "has submodules, which are not checked out" in refused(ended)


def test_what_upstream_clones_of_late_must_be_declared(checkout, upstream):
    launcher = 'git_clone("https://git.example/new", repo_dir("new"), "new")\n'
    upstream.replace("modules/launch_utils.py", "    palette_repo", f"    {launcher}    palette_repo")
    upstream.commit()

    ended, _ = checkout()

    assert "upstream clones https://git.example/new into repositories/new" in refused(ended)


def test_what_upstream_clones_no_more_is_left_out_and_said(checkout, upstream, project):
    change(project, "standin-palette = {}", "standin-palette = {}\nformer = {}")

    ended, folder = checkout()

    assert told(ended)
    assert "companions.former: upstream does not clone it any more" in ended.stderr
    assert not (folder / "repositories" / "former").exists()


def test_a_clone_that_vanished_without_an_override_is_refused(checkout, upstream, project):
    change(project, str(upstream.palette), f"{upstream.palette}-away")

    ended, _ = checkout()

    assert f"{upstream.palette}-away cannot be fetched: " in refused(ended)


def test_an_address_that_git_would_run_is_refused_wherever_it_comes_from(checkout, upstream, tmp_path):
    upstream.replace(
        "modules/launch_utils.py", "https://vanished.invalid/palette.git", f"ext::touch {tmp_path}/run"
    )
    upstream.commit()

    ended, _ = checkout()

    assert "must be a URL by https" in refused(ended)
    assert not (tmp_path / "run").exists()


def test_requirements_that_lead_out_of_upstream_are_refused(checkout, upstream, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (upstream.folder / "requirements_versions.txt").unlink()
    (upstream.folder / "requirements_versions.txt").symlink_to(tmp_path / "secret")
    upstream.commit()

    ended, _ = checkout()

    assert "has no file requirements_versions.txt" in refused(ended)


def test_a_requirement_that_is_left_out_is_not_installed_as_upstream_pins_it(checkout, upstream, project):
    change(project, "[packages]", '[packages]\nleave_out = ["Setup_Tools"]\npython = ["setup-tools==80.9.0"]')
    upstream.require("setup.tools==1.2.3  # temporary", "setup-tools-scm==8")

    _, folder = checkout()

    assert "setup-tools==80.9.0\n" == (folder / "requirements" / "more.txt").read_text()
    assert "1.2.3  #" not in (folder / "requirements" / "upstream.txt").read_text()
    assert "setup-tools-scm==8" in (folder / "requirements" / "upstream.txt").read_text()


def test_the_latest_good_commit_is_asked_of_ssm(checkout, upstream):
    good = upstream.head
    upstream.commit()

    ended, _ = checkout("latest-good", ParameterPath="/tests/webui", PUBLISHED=good)

    assert good == told(ended)["UPSTREAM_COMMIT"]


def test_where_there_is_no_good_commit_yet_the_head_is_taken(checkout, upstream):
    ended, _ = checkout("latest-good", ParameterPath="/tests/webui", PUBLISHED=NOT_FOUND)

    assert upstream.head == told(ended)["UPSTREAM_COMMIT"]


def test_an_ssm_that_refuses_ends_the_build(checkout):
    ended, folder = checkout("latest-good", ParameterPath="/tests/webui", PUBLISHED=DENIED)

    assert "AccessDeniedException" in refused(ended)
    assert not folder.exists()


@pytest.mark.parametrize("word", ["main", "HEAD", "0123", "--help", "0" * 39 + "g"])
def test_a_word_that_is_no_commit_is_refused(checkout, word):
    ended, _ = checkout(word)

    assert "is neither a commit of 40 hexadecimal digits" in refused(ended)


def test_a_folder_that_is_somebodys_is_left_alone(checkout, tmp_path):
    photo = tmp_path / "build" / "webui" / "photo.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"mine")

    ended, folder = checkout()

    assert f"error: {folder} holds what checkout.py did not make" in refused(ended)
    assert b"mine" == photo.read_bytes()


def test_a_folder_of_a_checkout_that_failed_is_filled_again(checkout, upstream):
    refused(checkout("0" * 40)[0])

    ended, folder = checkout()

    assert upstream.head == told(ended)["UPSTREAM_COMMIT"]
    assert (folder / "webui" / "launch.py").is_file()


def test_a_push_builds_the_image_for_what_it_has_in_common_with_the_diffusion_image():
    assert webui.SHARED == tuple(f"images/training/diffusion/diffusion/{name}" for name in SHARED)
