"""User data as cloud-init takes it: one script, or a MIME message of scripts. Standard library only."""

from __future__ import annotations

import email
from collections.abc import Iterator
from email.message import Message


class Malformed(Exception):
    """User data that this cloud's machines do not run; the text says why."""


def scripts(body: bytes) -> Iterator[tuple[str, str]]:
    """Yield the scripts of user data with their names; raise Malformed for anything else in it."""
    if not body.strip():
        return
    if body.startswith(b"#!"):
        yield "user-data", body.decode()
        return
    message = email.message_from_bytes(body)
    if not message.is_multipart():
        raise Malformed("user data is neither a script (#!) nor a MIME multi-part archive")
    for number, part in enumerate(message.get_payload(), 1):
        assert isinstance(part, Message)
        yield from _part(part, f"part-{number:03d}")


def _part(part: Message, name: str) -> Iterator[tuple[str, str]]:
    payload = part.get_payload(decode=True)
    text = payload.decode() if isinstance(payload, bytes) else ""
    kind = part.get_content_type()
    if kind == "text/x-shellscript":
        if not text.startswith("#!"):
            raise Malformed(f"{name} has no interpreter: its first line begins with #!")
        yield part.get_filename() or name, text
    elif kind == "text/cloud-config":
        _cloud_config(name, text)
    else:
        raise Malformed(f"{name} is {kind}, which is not part of the local cloud")


def _cloud_config(name: str, text: str) -> None:
    lines = [each.strip() for each in text.splitlines()]
    said = [each for each in lines if each and not each.startswith("#")]
    if said not in (
        ["cloud_final_modules: [[scripts-user, always]]"],
        ["cloud_final_modules:", "- [scripts-user, always]"],
    ):
        raise Malformed(f"{name} is a cloud-config that does more than to run scripts at every boot")
