"""What is passed on to a registry and back: bodies in parts, and every way in which one side goes away."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest

from atelier.cloud.engines.relay import Body, BrokenOff, Gone, Request, relay

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"
UPLOAD = [(b"transfer-encoding", b"chunked"), (b"authorization", b"Basic secret"), (b"x-of-the", b"message")]


@contextlib.asynccontextmanager
async def registry(answer):
    """Serve one socket by *answer*, which is given a connection's two ends."""
    serving = []

    async def serve(reader, writer):
        serving.append(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            await answer(reader, writer)
            await writer.drain()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "socket")
        server = await asyncio.start_unix_server(serve, path)
        try:
            yield path
        finally:
            server.close()
            await asyncio.gather(*serving)
            await asyncio.sleep(0)  # transports close on the loop's next turn


def part(body, *, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


class Client:
    """Both ends of a client: the messages that it sends, and what it was sent."""

    def __init__(self, *messages):
        self._messages, self.sent, self.leave = list(messages), [], asyncio.Event()

    async def receive(self):
        if self._messages:
            return self._messages.pop(0)
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)


def passed(answer, client, headers=(), method="PUT"):
    """Relay one request of the client to a registry that answers so."""

    async def pass_on():
        async with registry(answer) as path:
            request = Request(method, "/v2/", list(headers))
            await asyncio.wait_for(relay(path, request, Body(client.receive), client.send), 20)

    asyncio.run(pass_on())


def test_a_request_is_passed_on_in_parts_without_the_password():
    seen = []

    async def answer(reader, writer):
        seen.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(OK)

    client = Client(part(b"one", more=True), part(b"two"))
    passed(answer, client, UPLOAD)

    (request,) = seen
    assert b"\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" in request
    assert b"x-of-the: message" in request
    assert b"secret" not in request
    assert [200, b"body", b""] == [each.get("status", each.get("body")) for each in client.sent]


def test_an_answer_that_comes_before_the_request_was_sent_is_passed_on_after_its_end():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    parts = [part(b"x" * 100_000, more=True) for _ in range(50)]
    client = Client(*parts, part(b""))
    passed(answer, client, UPLOAD)

    assert 404 == client.sent[0]["status"]
    assert [] == client._messages


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_registry_that_goes_away_before_its_answer_broke_off(said):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    client = Client(part(b""))
    with pytest.raises(BrokenOff) as broken:
        passed(answer, client, method="GET")

    assert (False, []) == (broken.value.answered, client.sent)


def test_a_registry_that_goes_away_in_the_middle_of_its_answer_broke_off():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\nbody")

    client = Client(part(b""))
    with pytest.raises(BrokenOff) as broken:
        passed(answer, client, method="GET")

    assert broken.value.answered
    assert not any(each.get("body") == b"" for each in client.sent)


def test_a_registry_that_is_not_there_broke_off():
    async def pass_on():
        request = Request("GET", "/v2/", [])
        await relay(Path("/nowhere/socket"), request, Body(Client().receive), Client().send)

    with pytest.raises(BrokenOff):
        asyncio.run(pass_on())


def test_a_client_that_goes_away_in_the_middle_of_its_request_ends_it():
    ended = []

    async def answer(reader, writer):
        ended.append(b"0\r\n\r\n" not in await reader.read())

    client = Client(part(b"half", more=True), {"type": "http.disconnect"})
    with pytest.raises(Gone):
        passed(answer, client, UPLOAD)

    assert False not in ended
    assert [] == client.sent


def test_a_client_that_goes_away_in_the_middle_of_an_answer_is_sent_no_more():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()

    client = Client(part(b""))
    keep = client.send

    async def send(message):
        await keep(message)
        if len(client.sent) == 5:
            client.leave.set()

    client.send = send
    with pytest.raises(Gone):
        passed(answer, client, method="GET")

    assert len(client.sent) < 50
