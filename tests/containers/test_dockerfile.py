"""Dockerfiles are read strictly: what is not run is refused by name, with its line."""

import pytest

from atelier.cloud.engines.build import lock_named
from atelier.cloud.engines.dockerfile import DockerfileError, Instruction, exec_form, pairs, parse, words


def instruction(text, name="ENV"):
    return Instruction("Dockerfile", 1, name, text)


def test_comments_and_continued_lines_are_one_instruction():
    text = "# a comment\nfrom python:3.11\nENV A=1 \\\n    # between\n    B=2\n"

    assert [("FROM", "python:3.11", 2), ("ENV", "A=1     B=2", 3)] == [
        (each.name, each.text, each.line) for each in parse(text)
    ]


def test_a_syntax_directive_of_version_1_is_taken():
    assert ["FROM"] == [each.name for each in parse("# syntax=docker/dockerfile:1\nFROM python:3.11\n")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ADD https://example.com/x /x", "Dockerfile:2: ADD: is not supported .*use COPY"),
        ("USER nobody", "Dockerfile:2: USER: is not supported .*remove it"),
        ("EXPOSE 8080", "Dockerfile:2: EXPOSE: is not supported"),
        ("VOLUME /opt/ml", "Dockerfile:2: VOLUME: is not supported"),
        ("SHELL ['/bin/bash']", "Dockerfile:2: SHELL: is not supported"),
        ("HEALTHCHECK NONE", "Dockerfile:2: HEALTHCHECK: is not supported"),
        ("TEACH me", "Dockerfile:2: TEACH: is not supported .*write one of FROM, ARG"),
        ("RUN <<EOF", "Dockerfile:2: RUN: a here-document is not supported"),
        ("COPY <<EOF /x", "Dockerfile:2: COPY: a here-document is not supported"),
        ("WORKDIR", "Dockerfile:2: WORKDIR: needs an argument"),
        ("FROM python:3.12", "Dockerfile:2: FROM: a build of several stages is not supported"),
    ],
)
def test_a_line_that_cannot_be_built_is_named(line, problem):
    with pytest.raises(DockerfileError, match=problem):
        parse(f"FROM python:3.11\n{line}\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no FROM"),
        ("ENV A=1\nFROM python:3.11", "Dockerfile:1: ENV: only ARG may stand before FROM"),
        ("# escape=`\nFROM python:3.11", "escape=`: this directive is not supported"),
        ("# syntax=example/other\nFROM python:3.11", "this directive is not supported"),
    ],
)
def test_a_file_that_is_no_dockerfile_of_ours_is_refused(text, problem):
    with pytest.raises(DockerfileError, match=problem):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A/b", ["1/b"]),
        ("${A}${NONE}", ["1"]),
        ("${NONE:-other} ${A:-other}", ["other", "1"]),
        ("${A:+set}x ${NONE:+set}x", ["setx", "x"]),
        ("'$A' \"$A b\"", ["$A", "1 b"]),
        ("\\$A a\\ b", ["$A", "a b"]),
        ('"a\\"b\\\\"', ['a"b\\']),
        ('K="two words"x', ["K=two wordsx"]),
    ],
)
def test_variables_and_quotes_are_read_as_docker_reads_them(text, expected):
    assert expected == words(instruction(text), {"A": "1"})


@pytest.mark.parametrize("text", ['"open', "'open", "${A#prefix}", "${A:?no}", "$"])
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(DockerfileError):
        words(instruction(text), {"A": "1"})


def test_a_value_without_a_name_is_refused():
    with pytest.raises(DockerfileError, match="'one' has no value: write NAME=value"):
        pairs(instruction("one two"), {})


@pytest.mark.parametrize("text", ["python serve.py", '"python"', '["python", 1]', '["python"'])
def test_an_entrypoint_in_shell_form_is_refused(text):
    with pytest.raises(DockerfileError, match='write ENTRYPOINT \\["program", "argument"\\]'):
        exec_form(instruction(text, "ENTRYPOINT"))


@pytest.mark.parametrize(
    "command",
    [
        "pip install --require-hashes -r a.lock",
        "pip install --no-cache-dir --require-hashes --requirement=a.lock",
        "python -m pip install -r a.lock --require-hashes --disable-pip-version-check",
    ],
)
def test_an_install_of_a_hashed_lock_runs(command):
    assert "a.lock" == lock_named(instruction(command, "RUN"), command.split())


@pytest.mark.parametrize(
    "command",
    [
        "apt-get update",
        "pip install torch",
        "pip install -r a.lock",
        "pip install --require-hashes torch",
        "pip install --require-hashes -r a.lock -r b.lock",
        "pip install --require-hashes -r a.lock --pre",
        "pip install --require-hashes -r a.lock && rm -rf /",
        "pip install --require-hashes -r $(ls)",
        '["pip", "install", "--require-hashes", "-r", "a.lock"]',
    ],
)
def test_every_other_command_is_refused(command):
    with pytest.raises(DockerfileError, match="only `pip install --require-hashes -r FILE` runs"):
        lock_named(instruction(command, "RUN"), command.split())
