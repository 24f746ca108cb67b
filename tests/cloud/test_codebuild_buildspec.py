"""buildspec.yml: what is read, and what is refused by name."""

import pytest

from atelier.cloud.services.codebuild.buildspec import Artifacts, Phase, parse
from atelier.cloud.services.codebuild.failures import Invalid


def test_a_whole_buildspec_is_read():
    spec = parse(
        """
        version: 0.2
        env:
          shell: bash
          variables: {FLAG: yes, NUMBER: 3.10}
          parameter-store: {TOKEN: /app/token}
          secrets-manager: {PASSWORD: "app:password"}
          exported-variables: [TAG]
        phases:
          install:
            runtime-versions: {python: 3.11}
            commands: [pip install x]
          build:
            on-failure: ABORT
            commands:
              - make
            finally:
              - make clean
        artifacts:
          files: ["**/*"]
          base-directory: out
          discard-paths: no
          secondary-artifacts:
            Docs: {files: [a.txt], enable-symlinks: yes}
        """
    )

    assert {"FLAG": "yes", "NUMBER": "3.10"} == spec.variables
    assert ("bash", "3.11", ("TAG",)) == (spec.shell, spec.python, spec.exported)
    assert {"TOKEN": "/app/token"} == spec.parameters
    assert {"PASSWORD": "app:password"} == spec.secrets
    assert Phase(commands=("make",), last=("make clean",), on_failure="ABORT") == spec.phases["build"]
    assert Artifacts(files=("**/*",), base_directory="out") == spec.artifacts
    assert {"Docs": Artifacts(files=("a.txt",), enable_symlinks=True)} == spec.secondary


BUILD = "version: 0.2\nphases: {build: {commands: [make]}}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the buildspec must be a mapping"),
        ("- a", "the buildspec must be a mapping"),
        ("a: [", "while parsing"),
        ("version: 0.1\nphases: {}", "version 0.1 is not supported"),
        ("phases: {build: {commands: [make]}}", r"version \(none\)"),
        ("version: 0.2", "phases must be a mapping"),
        ("version: 0.2\nphases: {biuld: {commands: [make]}}", "phases: biuld is not known"),
        ("version: 0.2\nphases: {build: {}}", "phases.build has no commands"),
        ("version: 0.2\nphases: {build: }", "phases.build must be a mapping"),
        ("version: 0.2\nphases: {build: {commands: make}}", "phases.build.commands must be a list"),
        ("version: 0.2\nphases: {build: {commands: []}}", "list with something in it"),
        (
            "version: 0.2\nphases: {build: {commands: [echo a: b]}}",
            r"Expected phases.build.commands\[0\] to be of string type: found subkeys instead",
        ),
        ("version: 0.2\nphases: {build: {commands: [a], commands: [b]}}", "commands is there twice"),
        (
            "version: 0.2\nphases: {build: {commands: [a], on-failure: RETRY}}",
            "on-failure: RETRY is not supported",
        ),
        (
            "version: 0.2\nphases: {build: {commands: [a], run-as: root}}",
            "run-as is not part of the local cloud",
        ),
        (
            "version: 0.2\nphases: {build: {commands: [a], runtime-versions: {python: 3.11}}}",
            "runtime-versions",
        ),
        (
            "version: 0.2\nphases: {install: {runtime-versions: {nodejs: 20}}}",
            "nodejs is not part of the local cloud",
        ),
        (BUILD + "reports: {a: {files: [x]}}", "reports is not part of the local cloud"),
        (BUILD + "cache: {paths: [x]}", "cache is not part of the local cloud"),
        (BUILD + "batch: {}", "batch is not part of the local cloud"),
        (BUILD + "proxy: {}", "proxy is not part of the local cloud"),
        (BUILD + "env: {git-credential-helper: yes}", "git-credential-helper is not part of the local cloud"),
        (BUILD + "env: {shell: powershell.exe}", "env.shell: powershell.exe is not supported"),
        (BUILD + "env: {variables: {A: [1]}}", "env.variables.A must be a text"),
        (BUILD + "env: {variables: {A-B: 1}}", "'A-B' is no name for a variable"),
        (BUILD + "env: {variables: {CODEBUILD_SRC_DIR: /}}", "CODEBUILD_ are CodeBuild's own"),
        (BUILD + "env: {exported-variables: ['$(id)']}", "is no name for a variable"),
        (BUILD + "artifacts: {}", "artifacts.files must be a list"),
        (BUILD + "artifacts: {files: [a], discard-paths: maybe}", "maybe is not supported"),
        (BUILD + "artifacts: {files: [a], s3-prefix: b}", "artifacts: s3-prefix is not known"),
    ],
)
def test_a_bad_buildspec_says_what_is_wrong(text, problem):
    with pytest.raises(Invalid, match=problem):
        parse(text)
