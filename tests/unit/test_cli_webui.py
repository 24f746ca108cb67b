"""`atelier webui`: what is launched, what it costs, and what is said when it does not come about."""

import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from workstation_fakes import NEW, OLD, PASSWORD, FakeAccount, refusal

from atelier.cli.main import cli
from atelier.client.errors import NotFound, Problem
from atelier.client.webui import WebUI, digest
from atelier.client.webui_workstations import Workstations, answering


class Front(BaseHTTPRequestHandler):
    """What stands before a WebUI: TLS, a login, and the digest of what runs behind it."""

    def do_GET(self):
        self.send_response(self.server.status)
        self.send_header("X-Atelier-Image", digest(self.server.image()))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *words):
        """Say nothing."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate that nobody has vouched for, as an instance makes itself one."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "workstation")]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    pem = serialization.Encoding.PEM
    (folder / "pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(pem, *plain))
    return folder


@pytest.fixture
def account(certificate):
    """An account whose instances answer with the image that they are tagged with."""
    made, server = FakeAccount(), HTTPServer(("127.0.0.1", 0), Front)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "pem", certificate / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.status = 401
    server.image = lambda: made.tags(list(made.instances)[-1])["atelier:image"]
    made.host, made.server = f"127.0.0.1:{server.server_port}", server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(account):
    return lambda *words, **more: CliRunner().invoke(cli, ["webui", *words], obj=account.clients, **more)


@pytest.fixture
def launched(account, run):
    assert 0 == run("launch", "--yes").exit_code
    return next(iter(account.instances))


def test_a_launch_says_the_price_asks_and_tells_the_url_but_not_the_password(account, run):
    result = run("launch", input="y\n")

    assert 0 == result.exit_code, result.output
    (instance,) = account.instances.values()
    assert (
        result.output.index("$0.0832 an hour")
        < result.output.index("Launch a t3.large?")
        < result.output.index(f"https://{account.host}/")
    )
    assert "user artist" in result.output
    assert f"webui open {instance['InstanceId']} --show-password" in result.output
    assert PASSWORD not in result.output


def test_an_instance_is_tagged_with_what_it_runs(account, launched):
    tags = account.tags(launched)

    assert (OLD, "c" * 40) == (tags["atelier:image"], tags["atelier:upstream-commit"])
    assert ("atelier", "atelier-webui") == (tags["atelier:installation"], tags["Name"])
    assert "atelier:expires" not in tags


@pytest.mark.parametrize("input", ["n\n", ""])
def test_without_a_yes_nothing_is_launched(account, run, input):
    result = run("launch", input=input)

    assert 1 == result.exit_code
    assert "nothing was done (--yes agrees beforehand)" in result.output
    assert {} == account.instances


def test_a_program_is_told_everything_but_the_password_which_it_may_ask_for(account, run):
    told = json.loads(run("launch", "--yes", "--json", "--instance-type", "g5.xlarge").stdout)

    assert ("g5.xlarge", 1.006) == (told["instance_type"], told["price_per_hour"])
    assert (OLD, "arn:password", "artist") == (told["image"], told["password_secret_arn"], told["username"])
    assert "password" not in told
    assert PASSWORD == json.loads(run("open", "--json", "--show-password").stdout)["password"]


def test_an_instance_type_without_a_listed_price_is_said_to_have_none(account, run):
    result = run("launch", "--yes", "--instance-type", "x9.huge")

    assert "x9.huge: its price is not known here; see https://aws.amazon.com" in result.output
    assert "x9.huge" == next(iter(account.instances.values()))["InstanceType"]


@pytest.mark.parametrize(("ttl", "seconds"), [("90m", 5400), ("8h", 28_800), ("2d", 172_800)])
def test_a_time_to_live_becomes_the_end_that_the_instance_obeys(account, run, ttl, seconds):
    result = run("launch", "--yes", "--ttl", ttl)

    (instance,) = account.instances.values()
    ends = int(account.tags(instance["InstanceId"])["atelier:expires"])
    assert pytest.approx(seconds, abs=60) == ends - instance["LaunchTime"].timestamp()
    assert "It stops at" in result.output


@pytest.mark.parametrize("ttl", ["", "8", "h", "-1h", "0h", "1.5h", "8 hours", "999999h"])
def test_a_time_to_live_that_is_none_is_wrong_use(account, run, ttl):
    result = run("launch", "--yes", "--ttl", ttl)

    assert 2 == result.exit_code
    assert "such as 90m, 8h or 2d" in result.output
    assert {} == account.instances


def test_without_an_image_nothing_is_launched_and_the_way_to_one_is_told(account, run):
    account.image = None

    result = run("launch", "--yes")

    assert 1 == result.exit_code
    assert "there is no image of the WebUI in the local cloud yet" in result.output
    assert "atelier webui track" in result.output
    assert {} == account.instances


@pytest.mark.parametrize("verb", ["launch", "history", "track", "list"])
def test_before_anything_is_deployed_each_verb_tells_how_to_or_that_there_is_nothing(verb):
    account = FakeAccount(image=None, stacks={})

    result = CliRunner().invoke(cli, ["webui", verb], obj=account.clients)

    assert "atelier deploy webui" in result.output or "No workstation" in result.output


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("VcpuLimitExceeded", "have the quota of vCPUs raised"),
        ("InsufficientInstanceCapacity", "try another --instance-type"),
        ("UnauthorizedOperation", "(UnauthorizedOperation)"),
    ],
)
def test_a_refused_launch_is_told_in_one_line_with_what_to_do(account, run, code, advice):
    account.refuses = refusal(code, "RunInstances", "You have requested more than your limit.")

    result = run("launch", "--yes")

    assert 1 == result.exit_code
    assert "You have requested more than your limit." in result.stderr
    assert advice in result.stderr
    assert "Traceback" not in result.output


def test_a_webui_that_never_answers_is_told_with_what_the_instance_wrote(account):
    account.host = "127.0.0.1:1"
    stations = Workstations(clients=account.clients, sleep=lambda seconds: None, patience=0.2)
    id = stations.launch(WebUI(clients=account.clients).image())

    with pytest.raises(Problem, match=r"waited .* to answer: pulling the image \| no space left on device"):
        stations.ready(id)


def test_user_data_that_failed_is_told_at_once(account):
    account.host = "127.0.0.1:1"
    account.console = "workstation: pulling\nno basic auth credentials\nworkstation: line 90 failed\n"
    stations = Workstations(clients=account.clients, sleep=lambda seconds: None)
    id = stations.launch(WebUI(clients=account.clients).image())

    with pytest.raises(Problem, match=r"could not start its WebUI: .*no basic auth credentials"):
        stations.ready(id)


def test_an_instance_that_ends_before_its_webui_answers_is_not_waited_for(account):
    stations = Workstations(clients=account.clients, sleep=lambda seconds: None)
    id = stations.launch(WebUI(clients=account.clients).image())
    account.stop_instances([id])

    with pytest.raises(Problem, match=r"is stopped before its WebUI answered: .*no space left"):
        stations.ready(id)


def test_an_instance_that_ec2_ended_says_why(account):
    stations = Workstations(clients=account.clients, sleep=lambda seconds: None)
    id = stations.launch(WebUI(clients=account.clients).image())
    reason = {"Message": "Client.VolumeLimitExceeded: Volume limit exceeded"}
    account.instances[id].update(State={"Name": "terminated"}, StateReason=reason)

    with pytest.raises(Problem, match=f"{id} is terminated: Client.VolumeLimitExceeded"):
        stations.ready(id)


def test_an_instance_that_ec2_tells_of_a_bit_later_is_waited_for(account):
    def sleep(seconds):
        account.instances.update(hidden)

    stations, hidden = Workstations(clients=account.clients, sleep=sleep), {}
    id = stations.launch(WebUI(clients=account.clients).image())
    hidden[id] = account.instances.pop(id)
    account.server.image = lambda: OLD

    assert id == stations.ready(id).id


def test_an_instance_that_ec2_never_tells_of_is_not_waited_for_long(account):
    stations = Workstations(clients=account.clients, sleep=lambda seconds: None)

    with pytest.raises(NotFound, match="there is no workstation i-none"):
        stations.ready("i-none")


def test_a_workstation_whose_time_was_over_is_not_ended_again_when_it_is_opened(account, run, launched):
    account.create_tags([launched], [{"Key": "atelier:expires", "Value": "1000000000"}])
    run("stop")
    result = run("open")

    assert f"https://{account.host}/" in result.output
    assert "It stops at" not in result.output
    assert "atelier:expires" not in account.tags(launched)


def test_a_time_that_is_not_over_still_holds_after_a_stop(account, run):
    run("launch", "--yes", "--ttl", "8h")
    run("stop")

    assert "It stops at" in run("open").output


def test_a_front_without_a_webui_behind_it_is_no_answer(account, launched):
    account.server.status = 502

    assert None is answering(f"https://{account.host}/")


def test_the_list_shows_what_runs_where(account, run, launched):
    told = json.loads(run("list", "--json").stdout)["workstations"]

    assert [(launched, "running", OLD)] == [(each["id"], each["state"], each["image"]) for each in told]
    assert launched in run("list").output


def test_an_update_moves_to_the_newest_image_and_back(account, run, launched):
    account.image = NEW
    assert 0 == run("update").exit_code
    assert (NEW, OLD) == images(account, launched)

    assert 0 == run("update", "--rollback").exit_code
    assert (OLD, NEW) == images(account, launched)
    assert [f"reboot {launched}"] * 2 == account.asked


def images(account, id):
    tags = account.tags(id)
    return tags["atelier:image"], tags["atelier:previous-image"]


def test_an_update_to_what_runs_already_boots_nothing(account, run, launched):
    assert "runs it already" in run("update").output
    assert [] == account.asked


def test_an_update_does_not_say_that_an_image_runs_which_does_not(account, run, launched):
    account.server.status = 502
    silent = run("update")
    run("stop")
    stopped = run("update")

    assert 1 == silent.exit_code
    assert "has it already, but its WebUI does not answer" in silent.output
    assert f"aws ec2 reboot-instances --instance-ids {launched}" in silent.output
    assert f"has it already, and is stopped: `atelier webui open {launched}` starts it" in stopped.output
    assert [f"stop {launched}"] == account.asked


def test_there_is_nothing_to_go_back_to_before_the_first_update(account, run, launched):
    result = run("update", "--rollback")

    assert 1 == result.exit_code
    assert "ran no other image before" in result.output


def test_a_stopped_workstation_is_started_by_open_and_by_update(account, run, launched):
    assert "stops" in run("stop").output
    assert f"https://{account.host}/" in run("open").output
    run("stop")
    account.image = NEW
    assert 0 == run("update").exit_code

    ways = [f"{verb} {launched}" for verb in ("stop", "start", "stop", "start")]
    assert ways == account.asked


def test_the_volume_with_outputs_and_settings_outlives_its_workstation(account, run, launched):
    result = run("terminate", "--yes")

    assert f"its outputs and settings stay on volume vol-{launched}" in result.output
    assert {f"vol-{launched}"} == account.volumes
    assert {"workstations": []} == json.loads(run("list", "--json").stdout)


def test_data_is_deleted_only_when_that_is_said(account, run, launched):
    told = json.loads(run("terminate", "--yes", "--delete-data", "--json").stdout)

    assert {"id": launched, "state": "terminated", "volumes": []} == told
    assert set() == account.volumes


def test_which_workstation_must_be_said_when_there_are_two(account, run, launched):
    run("launch", "--yes")

    assert "say which workstation" in run("stop").output
    assert "there is no workstation i-none" in run("stop", "i-none").output
    assert 0 == run("stop", launched).exit_code


def test_the_history_tells_how_each_build_ended(account, run):
    account.runs = [
        {
            "run": "r2",
            "status": "failed",
            "upstream": "d" * 40,
            "started": "2026-01-02T00:00:00+00:00",
            "reason": "Build: no such package [torch]",
        },
        {
            "run": "r1",
            "status": "published",
            "upstream": "c" * 40,
            "started": "2026-01-01T00:00:00+00:00",
            "image": OLD,
        },
    ]

    shown = " ".join(run("history").output.split())

    assert "no such package [torch]" in shown
    assert "sha256:aaaaaaaaaaaa" in shown
    told = json.loads(run("history", "--json").stdout)["runs"]
    assert [("failed", "d" * 40), ("published", "c" * 40)] == [
        (each["status"], each["upstream"]) for each in told
    ]


def test_a_look_upstream_says_what_it_found_and_started(account, run):
    account.looked = {"outcome": "started", "summary": "builds dddd", "head": "d" * 40, "run": "r3"}

    assert "atelier pipeline show atelier-webui" in run("track").output
    assert account.looked == json.loads(run("track", "--json").stdout)


def test_a_look_that_starts_nothing_names_no_run_to_follow(account, run):
    account.looked = {"outcome": "unchanged", "summary": "dddd is built", "head": "d" * 40, "run": "r3"}

    assert "dddd is built\n" == run("track").output


def test_a_look_that_fails_is_told_in_one_line(account, run):
    account.looked = {"errorMessage": "the table is gone", "errorType": "Gone"}

    result = run("track")

    assert (1, "Error: the look upstream failed: the table is gone\n") == (result.exit_code, result.stderr)
