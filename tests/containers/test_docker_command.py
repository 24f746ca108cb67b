"""The `docker` command of a build: what it says, what it refuses; pushing is tested with ECR."""

import base64
import json
import os
import subprocess
import time

import pytest
from small_images import cache

from atelier.cloud.engines.images import ImageError, Reference
from atelier.cloud.engines.inspect import render
from atelier.cloud.engines.process import write_tools
from atelier.cloud.engines.registry import Tokens

REGISTRY = "000000000000.dkr.ecr.us-east-1.amazonaws.com"

DOCKERFILE = 'FROM python:3.11\nCOPY a.py .\nLABEL commit="abc"\nENTRYPOINT ["python", "a.py"]\n'


@pytest.fixture
def docker(home, context, tmp_path):
    """Run the command as a build does."""
    home.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "a.py").write_text("print(1)")
    environment = {"PATH": f"{write_tools(home, cache())}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def docker(*words, given=None):
        return subprocess.run(
            ["docker", *words], input=given, env=environment, cwd=context, text=True, capture_output=True
        )

    return docker


def test_an_image_is_built_tagged_and_shown(docker, context):
    built = docker("build", "-t", "small:v1", "--label", "stage=dev", "--iidfile", "id.txt", ".")
    assert (0, "") == (built.returncode, built.stderr)
    assert "Step 1/4 : FROM python:3.11" in built.stdout
    assert "Successfully tagged small:v1" in built.stdout
    assert 0 == docker("tag", "small:v1", f"{REGISTRY}/small:v2").returncode

    shown = docker("inspect", f"{REGISTRY}/small:v2")
    (image,) = json.loads(shown.stdout)

    assert (context / "id.txt").read_text() == image["Id"]
    assert {"commit": "abc", "stage": "dev"} == image["Config"]["Labels"]
    assert [f"{REGISTRY}/small:v2", "small:v1"] == image["RepoTags"]
    assert image["Id"] == docker("image", "inspect", "--format", "{{.Id}}", image["Id"]).stdout.strip()
    assert "small" in docker("images").stdout


def test_another_file_and_arguments_are_taken(docker, context):
    (context / "other").write_text("ARG BASE\nFROM $BASE\nARG X\nLABEL x=$X\n")

    built = docker("build", "-q", "-f", "other", "--build-arg", "BASE=python:3.11", "--build-arg=X=7", ".")
    shown = docker("inspect", "-f", "{{json .Config.Labels}}", built.stdout.strip())

    assert '{"x":"7"}' == shown.stdout.strip()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["run", "small"], "invalid choice: 'run'"),
        (["compose", "up"], "invalid choice: 'compose'"),
        (["build", "--squash", "."], "unrecognized arguments: --squash"),
        (["build", "--platform", "linux/s390x", "."], "--platform linux/s390x: this machine is linux/"),
        (["build", "https://example.com/x.git"], "is not a folder"),
        (["build", "-f", "none", "."], "none: cannot be read"),
        (["build", "-t", "Upper:v1", "."], "'Upper:v1' is not a name for an image"),
        (["build", "-t", "x:a b", "."], "'x:a b' is not a name for an image"),
        (["tag", "none:v1", "b:v1"], "No such image: none:v1"),
        (["inspect", "none"], "No such image: none"),
        (["push", "small:v1"], "small names no registry"),
        (["push", f"{REGISTRY}/none:v1"], "No such image"),
        (["pull", f"{REGISTRY}/none:v1"], "no basic auth credentials: `docker login`"),
        (["login", "-u", "AWS", "-p", "hidden", REGISTRY], "give the password with --password-stdin"),
        (["login", "-u", "AWS", REGISTRY], "--password-stdin"),
        ([], "COMMAND"),
    ],
)
def test_what_is_not_done_is_refused_by_name(docker, words, problem):
    refused = docker(*words)

    assert 1 == refused.returncode
    assert problem in refused.stderr
    assert not [word for word in ("Traceback", "hidden") if word in refused.stderr]


def test_a_broken_dockerfile_fails_the_build_with_its_line(docker, context):
    (context / "Dockerfile").write_text("FROM python:3.11\nUSER nobody\n")

    refused = docker("build", ".")

    assert 1 == refused.returncode
    assert refused.stderr.startswith("docker: Dockerfile:2: USER: is not supported by the process engine")


def test_a_login_needs_a_password_that_ecr_gave(docker, home, tmp_path):
    Tokens(home).issue("good", REGISTRY, time.time() + 60, {})

    wrong = docker("login", "--username", "AWS", "--password-stdin", REGISTRY, given="bad")
    right = docker("login", "--username", "AWS", "--password-stdin", f"https://{REGISTRY}", given="good\n")

    assert (1, 0) == (wrong.returncode, right.returncode)
    assert "401 Unauthorized" in wrong.stderr
    assert "Login Succeeded" in right.stdout
    kept = tmp_path / ".docker" / "config.json"
    auth = json.loads(kept.read_text())["auths"][REGISTRY]["auth"]
    assert b"AWS:good" == base64.b64decode(auth)
    assert 0o600 == kept.stat().st_mode & 0o777
    assert 0 == docker("logout", REGISTRY).returncode
    assert {} == json.loads(kept.read_text())["auths"]


def test_a_password_is_good_for_its_registry_and_time_only(tmp_path):
    tokens = Tokens(tmp_path)
    tokens.issue("old", REGISTRY, time.time() - 1, {})
    tokens.issue("new", REGISTRY, time.time() + 60, {})

    assert [False, True, False, False] == [
        tokens.accepts("old", REGISTRY),
        tokens.accepts("new", REGISTRY),
        tokens.accepts("new", "elsewhere"),
        tokens.accepts("", REGISTRY),
    ]
    assert not any("new" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a", "latest", False)),
        ("a:1", ("a", "1", False)),
        ("localhost:5000/a", ("localhost:5000/a", "latest", False)),
        ("localhost:5000/a/b:1", ("localhost:5000/a/b", "1", False)),
        ("h/a:1@sha256:0", ("h/a", "sha256:0", True)),
    ],
)
def test_names_are_read_as_docker_reads_them(text, expected):
    name = Reference.parse(text)

    assert expected == (name.repository, name.tag, name.by_digest)


VALUE = {"Id": "sha256:1", "List": ["a", "b"], "Config": {"Labels": {"x.y": "z"}, "Cmd": None}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Id}}", "sha256:1"),
        ("id={{ .Id }} {{index .List 1}}", "id=sha256:1 b"),
        ("{{json .Config.Labels}}", '{"x.y":"z"}'),
        ('{{index .Config.Labels "x.y"}}', "z"),
        ("{{json (index .List 0)}}", '"a"'),
        ("{{.List}} {{.Config.Labels}}", "[a b] map[x.y:z]"),
        ("{{.Config.Cmd}}", "<no value>"),
    ],
)
def test_templates_in_common_use_are_filled(template, expected):
    assert expected == render(template, VALUE)


@pytest.mark.parametrize(
    "template", ["{{.None}}", "{{index .List 9}}", "{{range .List}}x{{end}}", "{{.Id", "{{len .List}}"]
)
def test_other_templates_are_refused(template):
    with pytest.raises(ImageError, match="template"):
        render(template, VALUE)
