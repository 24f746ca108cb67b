"""The one shell of a build."""

import os
import threading
import time

import pytest

from atelier.cloud.services.codebuild.failures import Ended
from atelier.cloud.services.codebuild.output import Output
from atelier.cloud.services.codebuild.shell import Shell, marked


class Terminal:
    """A shell and the lines that it wrote."""

    def __init__(self, folder, program="/bin/sh", **environment):
        self.lines = []
        self.output = Output(self.lines.append)
        self.build = f"test:{folder.name}:{os.getpid()}"
        path = {"PATH": os.environ["PATH"], "CODEBUILD_BUILD_ID": self.build}
        self.shell = Shell(program, folder, {**path, **environment}, folder / "state", self.output.descriptor)

    def run(self, *commands):
        return [self.shell.run(command) for command in commands]

    def close(self):
        self.shell.close()
        self.output.close()
        return self.lines


@pytest.fixture(params=["/bin/sh", "bash"])
def terminal(tmp_path, request):
    terminal = Terminal(tmp_path, request.param)
    yield terminal
    terminal.shell.close()


def test_folder_variables_and_functions_last_from_command_to_command(tmp_path, terminal):
    (tmp_path / "sub").mkdir()

    assert [0] * 4 == terminal.run(
        "cd sub", "A=1; export B=2", 'f() { echo "$A $B $(basename "$PWD")"; }', "f"
    )
    assert ["1 2 sub"] == terminal.close()


def test_the_status_of_a_command_is_its_own(terminal):
    assert [0, 1, 7, 0] == terminal.run("true", "false", "sh -c 'exit 7'", "true")
    terminal.close()


def test_exit_ends_a_command_and_keeps_what_it_exported(tmp_path, terminal):
    (tmp_path / "it's here").mkdir()
    statuses = terminal.run(
        'cd "it\'s here"; export A="x\n\'y\' $z"; exit 3', 'echo "$A"; basename "$PWD"', "exit 0"
    )

    assert [3, 0, 0] == statuses
    assert ["x", "'y' ", "it's here"] == terminal.close()


def test_set_e_and_a_syntax_error_end_only_their_command(terminal):
    statuses = terminal.run("set -e; false; echo not reached", "echo (", "echo fine")

    assert statuses[0] == 1
    assert statuses[1] != 0
    assert statuses[2] == 0
    assert "fine" == terminal.close()[-1]


def test_a_command_of_many_lines_is_one_script(terminal):
    assert [0] == terminal.run("for i in 1 2; do\n  echo $i\ndone\n")
    assert ["1", "2"] == terminal.close()


def test_commands_have_no_input_to_wait_for(terminal):
    assert [0] == terminal.run("cat")
    assert [] == terminal.close()


def test_what_runs_in_the_background_holds_up_nothing_and_is_ended_with_the_build(terminal):
    began = time.monotonic()
    terminal.run("sleep 300 &", "setsid sleep 300 &", "(sleep 300; echo late) & true")
    terminal.close()

    assert 30 > time.monotonic() - began
    assert [] == marked(terminal.build)


def test_a_stop_kills_the_whole_group_at_once(terminal):
    began = time.monotonic()
    threading.Timer(0.3, terminal.shell.end, [Ended("STOPPED", "told to")]).start()

    with pytest.raises(Ended, match="told to"):
        terminal.run("sh -c 'trap \"\" TERM; sleep 300; sleep 300' | cat")

    assert 30 > time.monotonic() - began
    assert [] == marked(terminal.build)
    with pytest.raises(Ended):
        terminal.run("echo not any more")
    assert [] == terminal.close()


def test_variables_are_read_whether_exported_or_not(terminal):
    terminal.run("A=1; export B='two\nlines'; unset C; D=")

    assert ["1", "two\nlines", None, ""] == [terminal.shell.read(name) for name in "ABCD"]
    terminal.close()


def test_a_shell_killed_by_a_command_counts_as_its_failure(terminal):
    assert [137, 0] == terminal.run("kill -9 $$", "true")
    terminal.close()


def test_output_keeps_its_order_and_hides_secrets():
    lines = []
    output = Output(lines.append)
    output.hide("hunter2")
    os.write(output.descriptor, b"password hunter2\r\nno newline")
    output.say("said")
    os.write(output.descriptor, b"\n\xff\n" + b"x" * 200_000)
    output.close()

    assert "password ***" == lines[0]
    assert lines[1].startswith("no newline[Container] ")
    assert lines[1].endswith(" said")
    assert ["", "\N{REPLACEMENT CHARACTER}"] == lines[2:4]
    assert "x" * 200_000 == "".join(lines[4:])
