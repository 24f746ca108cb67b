"""What the command calls itself when it says what to run next."""

import os
import sys

import pytest

from atelier.cli.output import program


@pytest.fixture
def installed(tmp_path, monkeypatch):
    path = tmp_path / ".venv" / "bin" / "atelier"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.chdir(tmp_path)
    return path


def test_a_command_on_the_path_is_called_by_its_name(installed, monkeypatch):
    monkeypatch.setenv("PATH", f"{installed.parent}{os.pathsep}{os.environ['PATH']}")

    assert "atelier" == program()


def test_a_command_off_the_path_is_called_by_where_it_is(installed, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")

    assert ".venv/bin/atelier" == program()


def test_a_module_run_by_python_is_called_by_the_commands_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py"])

    assert "atelier" == program()
