"""Connections: what may be entered, and how they are kept."""

import json
import os
import stat
import threading

import pytest

from atelier_webui.accounts import Account, Accounts, account, shown
from atelier_webui.errors import InvalidAccount

URL = "https://abc.execute-api.eu-west-1.amazonaws.com/prod"


@pytest.fixture
def accounts(tmp_path):
    return Accounts(tmp_path / "atelier" / "accounts.json")


def test_what_is_entered_is_made_tidy():
    found = account("  Mine ", f" {URL} ", " secret\n", " anna ")

    assert Account(name="Mine", url=f"{URL}/", token="secret", username="anna") == found


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must look like https"),
        ("abc.execute-api.eu-west-1.amazonaws.com/prod", "must look like https"),
        ("ftp://example.com/prod", "must look like https"),
        ("https://", "must look like https"),
        ("https://[::1/prod", "no URL"),
        ("https://example.com:port/prod", "no URL"),
        ("http://example.com/prod", "must begin with https"),
        ("http://localhost.example.com/prod", "must begin with https"),
        ("https://anna:secret@example.com/prod", "without a name"),
        ("https://example.com/prod?key=1", "without a name"),
        ("https://example.com/prod#there", "without a name"),
        ("https://example.com/pr od", "blanks"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_reason(url, reason):
    with pytest.raises(InvalidAccount, match=reason):
        account("mine", url, "secret")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4566/x/prod/", "http://localhost:80/", "http://[::1]:8000/a/"]
)
def test_this_machine_may_be_asked_without_encryption(url):
    assert url == account("mine", url, "secret").url


@pytest.mark.parametrize("token", ["", "  ", "two words", "line\nbreak", "ключ", "x" * 257, "a\x00b"])
def test_a_token_that_no_header_holds_is_refused_and_not_repeated(token):
    with pytest.raises(InvalidAccount) as caught:
        account("mine", URL, token)

    assert not token.strip() or token not in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "two\nlines"])
def test_an_account_needs_a_name(name):
    with pytest.raises(InvalidAccount, match="needs a name"):
        account(name, URL, "secret")


def test_accounts_are_kept_for_the_next_start(accounts):
    accounts.add(account("zoe", URL, "secret-1"))
    accounts.add(account("Anna", URL, "secret-2", "anna"))

    again = Accounts(accounts.path)

    assert ["Anna", "zoe"] == again.names()
    assert ("secret-2", "anna") == (again.get("Anna").token, again.get("Anna").username)


def test_an_account_that_is_added_again_has_its_new_token(accounts):
    assert not accounts.add(account("mine", URL, "old"))
    assert accounts.add(account("mine", URL, "new"))

    assert ["new"] == [each.token for each in accounts.all()]


@pytest.mark.parametrize(
    "other", [account("mine", "https://example.com/dev", "new"), account("mine", URL, "new", "ben")]
)
def test_an_account_does_not_take_the_name_of_another(other, accounts):
    accounts.add(account("mine", URL, "old"))

    with pytest.raises(InvalidAccount, match="'mine' of another URL or user already"):
        accounts.add(other)

    assert ["old"] == [each.token for each in accounts.all()]


def test_a_removed_account_is_gone_and_removing_it_again_is_fine(accounts):
    accounts.add(account("mine", URL, "secret"))
    accounts.remove("mine")
    accounts.remove("mine")

    with pytest.raises(
        InvalidAccount, match="There is no account 'mine': add it in the Atelier tab, under Accounts"
    ):
        accounts.get("mine")
    assert "secret" not in accounts.path.read_text()


def test_only_the_owner_can_read_the_file(accounts):
    accounts.add(account("mine", URL, "secret"))

    assert 0o600 == stat.S_IMODE(accounts.path.stat().st_mode)


def test_a_file_that_others_can_read_is_taken_from_them(accounts):
    accounts.add(account("mine", URL, "secret"))
    accounts.path.chmod(0o644)

    assert ["mine"] == accounts.names()
    assert 0o600 == stat.S_IMODE(accounts.path.stat().st_mode)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"accounts": [{"name": 1}]}', '{"accounts": {"a": 1}}', "\0"]
)
def test_a_broken_file_is_said_to_be_and_not_written_over(accounts, content):
    accounts.path.parent.mkdir()
    accounts.path.write_text(content)

    with pytest.raises(InvalidAccount, match=r"accounts\.json cannot be read"):
        accounts.add(account("mine", URL, "secret"))
    assert content == accounts.path.read_text()


def test_a_write_that_fails_leaves_the_file_as_it_was(accounts, monkeypatch):
    accounts.add(account("mine", URL, "secret"))
    before = accounts.path.read_text()

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidAccount, match="No space left"):
        accounts.add(account("other", URL, "secret"))

    assert before == accounts.path.read_text()
    assert [accounts.path] == list(accounts.path.parent.iterdir())


def test_two_tabs_that_add_at_once_both_succeed(accounts):
    adding = [
        threading.Thread(target=accounts.add, args=(account(f"tab {number}", URL, "secret"),))
        for number in range(16)
    ]
    for each in adding:
        each.start()
    for each in adding:
        each.join()

    assert 16 == len(accounts.names())


def test_a_token_is_neither_shown_nor_printed():
    found = account("mine", URL, "secret-token", "anna")

    assert {"name": "mine", "url": f"{URL}/", "username": "anna"} == shown(found)
    assert "secret-token" not in repr(found) + str(found) + json.dumps(shown(found))
