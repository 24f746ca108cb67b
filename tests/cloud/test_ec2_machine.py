"""What is inside a machine: how user data is read, and what its `docker` tells the engine."""

import pytest

from atelier.cloud.services.ec2.machine.docker import Unsupported, translated
from atelier.cloud.services.ec2.machine.parts import Malformed, scripts

ALWAYS = "cloud_final_modules:\n- [scripts-user, always]\n"


def archive(*parts):
    """A MIME message as cloud-init takes it, of kinds and texts."""
    said = [f'--b\nContent-Type: {kind}; charset="us-ascii"\n\n{text}\n' for kind, text in parts]
    return (
        'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n' + "".join(said) + "--b--\n"
    ).encode()


def test_a_script_is_run_as_it_is():
    assert [("user-data", "#!/bin/sh\necho")] == list(scripts(b"#!/bin/sh\necho"))


def test_nothing_is_run_where_there_is_nothing():
    assert [] == list(scripts(b" \n"))


def test_the_scripts_of_an_archive_are_run_in_their_order():
    body = archive(
        ("text/cloud-config", ALWAYS),
        ("text/x-shellscript", "#!/bin/sh\none"),
        ("text/x-shellscript", "#!/bin/sh\ntwo"),
    )

    assert ["one", "two"] == [text.split("\n")[1] for _, text in scripts(body)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"echo", "neither a script"),
        (archive(("text/cloud-config", "packages: [git]")), "does more"),
        (archive(("text/x-shellscript", "echo")), "no interpreter"),
        (archive(("text/jinja2", "x")), "text/jinja2"),
    ],
)
def test_what_machines_do_not_run_is_refused_by_name(body, words):
    with pytest.raises(Malformed, match=words):
        list(scripts(body))


@pytest.fixture
def told(monkeypatch):
    """Translate a command of machine i-1, which has a container `webui`; two others are not its own."""
    asked = []
    monkeypatch.setenv("MACHINE_DISK", "vol-1")

    def ask(arguments):
        asked.append(arguments)
        return "webui.i-1\nother.i-2\ndatabase\n" if arguments[0] == "ps" else ""

    def translate(*arguments):
        return translated(list(arguments), "i-1", "atelier.home=h", ask)

    translate.asked = asked
    return translate


def test_a_machines_containers_are_its_own_and_in_its_network(told):
    said = told("run", "--rm", "--name", "webui", "image", "--name", "x")

    assert [
        "run",
        "--label",
        "atelier.machine=i-1",
        "--label",
        "atelier.home=h",
        "--network",
        "host",
    ] == said[:7]
    assert ["--rm", "--name=webui.i-1", "image", "--name", "x"] == said[7:]


def test_a_published_port_is_told_to_the_container(told):
    assert ["--env", "BIND_HOST=127.1.2.3", "--env", "PORT=80", "image"] == told(
        "create", "-p", "127.1.2.3:80:80", "image"
    )[7:]


def test_a_volume_is_on_the_machines_disk(told):
    said = told("create", "--volume=data:/data:ro", "image")

    assert ["--volume=vol-1.data:/data:ro", "image"] == said[7:]
    assert [
        ["volume", "create", "--label", "atelier.home=h", "--label", "atelier.disk=vol-1", "vol-1.data"]
    ] == told.asked


def test_options_with_values_are_not_taken_for_the_image(told):
    assert ["-e", "A=-p", "--log-opt=x", "image", "-v"] == told(
        "create", "-e", "A=-p", "--log-opt=x", "image", "-v"
    )[7:]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start", "webui"], ["start", "webui.i-1"]),
        (["cp", "a", "webui:/a"], ["cp", "a", "webui.i-1:/a"]),
        (["logs", "--follow", "webui"], ["logs", "--follow", "webui.i-1"]),
        (["ps", "-a"], ["ps", "--filter", "label=atelier.machine=i-1", "-a"]),
        (["pull", "--quiet", "image"], ["pull", "--quiet", "image"]),
    ],
)  # fmt: skip
def test_a_machine_knows_its_containers_by_its_own_names(told, arguments, said):
    assert said == told(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rm", "-f", "other.i-2"], "No such container: other.i-2"),
        (["exec", "database", "sh"], "No such container: database"),
        (["run", "-v", "/etc:/etc", "image"], "no folder of a machine"),
        (["run", "-p", "80:80", "image"], "ADDRESS:PORT:PORT"),
        (["run", "--network", "none", "image"], "share their machine's network"),
        (["system", "prune"], "docker system"),
        (["build", "."], "docker build"),
    ],
)
def test_what_would_touch_others_is_refused_by_name(told, arguments, words):
    with pytest.raises(Unsupported, match=words):
        told(*arguments)


def test_without_a_disk_there_are_no_volumes(told, monkeypatch):
    monkeypatch.delenv("MACHINE_DISK")

    with pytest.raises(Unsupported, match="no disk"):
        told("run", "-v", "data:/data", "image")
