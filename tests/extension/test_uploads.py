"""Uploads: whole files arrive, whatever happens on the way."""

import contextlib
import os
import socket
import struct
import threading
import time

import pytest
from standin_middleware import Refused

from atelier_webui import errands, uploads
from atelier_webui.accounts import account
from atelier_webui.client import Client
from atelier_webui.errors import Problem, Refusal, Stopped, Unreachable
from atelier_webui.uploads import Upload, part_size

PART = 256 * 1024


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(uploads, "SMALLEST_PART", PART)


@pytest.fixture
def shown():
    return []


@pytest.fixture
def file(tmp_path):
    return tensors(tmp_path / "model.safetensors", 5 * PART + 123)


def tensors(path, size):
    """A file that begins as one of tensors does."""
    header = b'{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    start = struct.pack("<Q", len(header)) + header
    path.write_bytes(start + os.urandom(size - len(start)))
    return path


def upload(client, *paths, shown=None, **more):
    told = [] if shown is None else shown
    return Upload(
        client,
        paths,
        "Stable-diffusion",
        show=lambda done, total: told.append((done, total)),
        sleep=lambda seconds: time.sleep(0.01),
        **more,
    )


def test_a_file_arrives_in_parts(cloud, client, file, shown):
    id = upload(client, file, shown=shown).run()

    assert file.read_bytes() == cloud.objects["model.safetensors"]
    assert "Active" == cloud.checkpoints[id]["status"]
    assert (file.stat().st_size,) * 2 == shown[-1]
    assert sorted(shown) == shown


def test_several_files_are_one_checkpoint(cloud, client, tmp_path):
    files = [tensors(tmp_path / f"{name}.safetensors", size) for name, size in (("a", 100), ("b", 2 * PART))]

    id = upload(client, *files).run()

    assert ["a.safetensors", "b.safetensors"] == cloud.checkpoints[id]["name"]
    assert [each.read_bytes() for each in files] == [cloud.objects[each.name] for each in files]


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 3 * PART])
def test_a_file_of_any_size_arrives_whole(cloud, client, tmp_path, size):
    file = tensors(tmp_path / "model.safetensors", size)

    upload(client, file).run()

    assert file.read_bytes() == cloud.objects["model.safetensors"]


def test_parts_are_put_at_the_same_time(cloud, client, file):
    at_once, most, lock = [], [], threading.Lock()

    class Slow(Client):
        def put(self, *given, **more):
            with lock:
                at_once.append(1)
                most.append(len(at_once))
            time.sleep(0.1)
            try:
                return super().put(*given, **more)
            finally:
                with lock:
                    at_once.pop()

    slow = Slow(client.account)
    upload(slow, file).run()
    slow.close()

    assert uploads.WORKERS == max(most)


def test_a_part_that_is_cut_is_sent_again(cloud, client, file, shown):
    going = upload(client, file, shown=shown)
    begin = going._client.create_checkpoint

    def begin_then_cut(*given, **more):
        made = begin(*given, **more)
        cloud.cuts = 3
        return made

    client.create_checkpoint = begin_then_cut
    going.run()

    assert file.read_bytes() == cloud.objects["model.safetensors"]
    assert (file.stat().st_size,) * 2 == shown[-1]


def test_after_a_long_cut_it_goes_on_where_it_was(cloud, client, file, monkeypatch):
    monkeypatch.setattr(uploads, "WORKERS", 1)
    monkeypatch.setattr(uploads, "ATTEMPTS", 2)
    going = upload(client, file)
    put, links = client.put, []

    def dies_in_the_third(link, body, **more):
        if len(links) >= 2:
            cloud.cuts = 10**6
        links.append(link)
        return put(link, body, **more)

    client.put = dies_in_the_third
    with pytest.raises(Unreachable):
        going.run()
    cloud.cuts, before = 0, links[:2]
    client.put = lambda link, body, **more: links.append(link) or put(link, body, **more)
    del links[:]

    going.run()

    assert not set(before) & set(links)
    assert 4 == len(links)
    assert file.read_bytes() == cloud.objects["model.safetensors"]
    assert 1 == cloud.times("CreateCheckpoint")


def test_a_network_that_dies_in_the_middle_of_a_part_is_no_loss(cloud, client, file):
    """The bytes go through a line that breaks after as many as it was told."""
    line = Line(cloud.server.server_address, breaks_after=2 * PART)
    far = Client(account("far", f"http://127.0.0.1:{line.port}/", "token-of-anna"))
    cloud.url = far.account.url

    upload(far, file).run()

    far.close()
    line.close()
    assert line.broken
    assert file.read_bytes() == cloud.objects["model.safetensors"]


class Line:
    """A line to a server, which breaks once."""

    def __init__(self, address, breaks_after):
        self._address, self._left, self.broken = address, breaks_after, False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            far = socket.create_connection(self._address)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source, target):
        with source, target:
            try:
                while data := source.recv(65536):
                    if source.getsockname()[1] == self.port and self._is_over(len(data)):
                        break
                    target.sendall(data)
            except OSError:
                pass
            for each in (source, target):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _is_over(self, count):
        with self._lock:
            if self.broken:
                return False
            self._left -= count
            self.broken = self._left < 0
            return self.broken

    def close(self):
        self._socket.close()


def test_an_upload_that_is_stopped_ends_soon_and_can_go_on(cloud, client, file):
    going = upload(client, file)
    put = client.put

    def stop_after_one(*given, **more):
        tag = put(*given, **more)
        going.stop()
        return tag

    client.put = stop_after_one
    with pytest.raises(Stopped):
        going.run()
    assert "Initial" == next(reversed(cloud.checkpoints.values()))["status"]
    client.put = put

    going.run()

    assert file.read_bytes() == cloud.objects["model.safetensors"]


def test_an_upload_that_is_discarded_leaves_its_name_free(cloud, client, file):
    going = upload(client, file)
    client.put = lambda *given, **more: going.stop() or "tag"
    with pytest.raises(Stopped):
        going.run()

    assert going.discard()

    assert ["tiny.safetensors"] == [name for each in cloud.checkpoints.values() for name in each["name"]]
    assert not going.discard()


def test_an_upload_that_is_discarded_while_it_runs_is_stopped_first(cloud, client, file):
    going = upload(client, file)
    begun, put = threading.Event(), client.put

    def slowly(*given, **more):
        begun.set()
        time.sleep(0.05)
        return put(*given, **more)

    client.put = slowly
    running = errands.begin(going.run)
    assert begun.wait(60)

    assert going.discard()

    assert isinstance(running.exception(60), Stopped)
    assert ["tiny.safetensors"] == [name for each in cloud.checkpoints.values() for name in each["name"]]


def test_what_cannot_be_discarded_now_is_discarded_later(cloud, client, file):
    going = upload(client, file)
    client.put = lambda *given, **more: going.stop() or "tag"
    with pytest.raises(Stopped):
        going.run()
    del cloud.tokens["token-of-anna"]
    with pytest.raises(Refusal):
        going.discard()
    cloud.tokens["token-of-anna"] = "anna"

    assert going.discard()
    assert ["tiny.safetensors"] == [name for each in cloud.checkpoints.values() for name in each["name"]]


def test_a_checkpoint_that_is_whole_is_not_discarded(cloud, client, file):
    going = upload(client, file)
    id = going.run()

    assert not going.discard()

    assert "Active" == cloud.checkpoints[id]["status"]


def test_the_same_upload_does_not_run_twice_at_once(client, file):
    going = upload(client, file)
    put, refused = client.put, []

    def again(*given, **more):
        try:
            going.run()
        except Problem as error:
            refused.append(str(error))
        return put(*given, **more)

    client.put = again
    going.run()

    assert {"This upload is going on already."} == set(refused)


def test_a_link_that_is_too_old_makes_it_begin_anew(cloud, client, file):
    going = upload(client, file)
    put = client.put

    def expired(*given, **more):
        raise Refusal(403, "S3 answered 403 AccessDenied")

    client.put = expired
    with pytest.raises(Problem, match="it must begin anew"):
        going.run()
    client.put = put

    going.run()

    assert file.read_bytes() == cloud.objects["model.safetensors"]
    assert 2 == cloud.times("CreateCheckpoint")


@pytest.mark.parametrize(("status", "calls"), [(500, 8), (503, 8), (400, 1)])
def test_what_s3_may_do_later_is_tried_again(client, file, monkeypatch, status, calls):
    monkeypatch.setattr(uploads, "WORKERS", 1)
    tried = []

    def refuses(*given, **more):
        tried.append(given)
        raise Refusal(status, f"S3 answered {status}")

    client.put = refuses
    with pytest.raises(Refusal):
        upload(client, file).run()
    assert calls == len(tried)


def test_a_file_that_changes_meanwhile_is_not_mixed_up(cloud, client, file):
    put = client.put

    def change(*given, **more):
        tag = put(*given, **more)
        os.utime(file, (1, 1))
        return tag

    client.put = change
    with pytest.raises(Problem, match="was changed while it was uploaded"):
        upload(client, file).run()
    assert "model.safetensors" not in cloud.objects


def test_a_name_that_is_taken_is_refused_in_the_middlewares_words(client, tmp_path):
    with pytest.raises(Refusal, match=r"tiny\.safetensors already exists"):
        upload(client, tensors(tmp_path / "tiny.safetensors", 100)).run()


def test_what_is_refused_at_the_end_is_told(cloud, client, file):
    def refuse(**_):
        raise Refused(400, "model.safetensors is not a safetensors file")

    cloud._UpdateCheckpoint = refuse

    with pytest.raises(Refusal, match="is not a safetensors file"):
        upload(client, file).run()


@pytest.mark.parametrize(
    "content", [b"", b"x", b"PK\3\4 and more", b"<html>", struct.pack("<Q", 10**9) + b"{"]
)
def test_what_is_no_tensors_is_not_uploaded(cloud, client, tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    with pytest.raises(Problem, match=r"is not a \.safetensors file"):
        upload(client, path).run()
    assert 0 == cloud.times("CreateCheckpoint")


def test_an_empty_file_is_not_uploaded(client, tmp_path):
    path = tmp_path / "model.ckpt"
    path.touch()

    with pytest.raises(Problem, match="is empty"):
        upload(client, path).run()


def test_a_file_that_is_not_there_is_said_to_be_so(client, tmp_path):
    with pytest.raises(Problem, match=r"gone\.safetensors cannot be read: No such file"):
        upload(client, tmp_path / "gone.safetensors").run()


def test_files_need_different_names(client, tmp_path):
    for paths in ([], [tmp_path / "a", tmp_path / "more" / "a"]):
        with pytest.raises(Problem, match="different names"):
            upload(client, *paths)


@pytest.mark.parametrize("gigabytes", [0.1, 2, 7, 50, 1000])
def test_no_file_has_more_parts_than_the_api_takes(gigabytes, monkeypatch):
    monkeypatch.setattr(uploads, "SMALLEST_PART", 16 * 1024 * 1024)
    size = int(gigabytes * 1e9)

    assert -(-size // part_size(size)) <= 100
    assert part_size(size) >= 5 * 1024 * 1024
