"""Tokens: whose they are, how many, how long, and the deployment's own."""

import pytest
from account_fakes import (
    NOW,
    FakeAccounts,
    FakeRates,
    FakeSecret,
    Killed,
    acting,
    begun,
    with_role,
    with_token,
    with_user,
)

from atelier.lambdas.domain.accounts import EVERYTHING, OPERATOR, Token
from atelier.lambdas.errors import Failed, Invalid, NotFound, Refused, Throttled
from atelier.lambdas.services.middleware import access, deployment, tokens, users
from atelier.lambdas.services.middleware.access import digest
from atelier.lambdas.services.middleware.throttling import Allowance

FIRST = "f" * 43
SECOND = "s" * 43


@pytest.fixture
def accounts():
    found = begun(FakeAccounts())
    with_role(found, "artist", "inference:all")
    with_role(found, "registrar", "user:all", "inference:all")
    with_user(found, "ann", "artist")
    with_user(found, "bob", "artist")
    with_user(found, "reg", "registrar")
    return found


def token(user, secret="secret", **more):
    return Token(**{"id": "t1", "sha256": digest(secret), "user": user, "created": NOW, **more})


def test_a_user_makes_lists_and_revokes_their_own_tokens(accounts):
    ann = acting(accounts, "ann")

    made = tokens.create(token("ann", description="laptop"), caller=ann, accounts=accounts)
    assert [made] == tokens.listed("ann", caller=ann, accounts=accounts)

    tokens.revoke("ann", "t1", caller=ann, accounts=accounts)
    assert [] == tokens.listed("ann", caller=ann, accounts=accounts)
    assert access.identify("secret", now=NOW, accounts=accounts) is None


@pytest.mark.parametrize(
    ("caller", "owner", "allowed"),
    [
        ("ann", "ann", True),
        ("ann", "bob", False),
        ("reg", "ann", True),
        ("reg", "api", False),
        ("api", "reg", True),
        ("api", "ann", True),
    ],
)
def test_others_tokens_need_the_permission_and_all_that_the_other_may(accounts, caller, owner, allowed):
    who = acting(accounts, caller)
    actions = (
        lambda: tokens.create(token(owner), caller=who, accounts=accounts),
        lambda: tokens.listed(owner, caller=who, accounts=accounts),
        lambda: tokens.revoke(owner, "t1", caller=who, accounts=accounts),
    )

    for act in actions:
        if allowed:
            act()
        else:
            with pytest.raises(Refused, match=f"User {caller} has no permissions"):
                act()
    assert accounts.token(digest("secret")) is None


def test_an_unknown_user_is_not_found_by_who_may_ask_and_refused_to_others(accounts):
    with pytest.raises(NotFound):
        tokens.listed("unknown", caller=acting(accounts, "api"), accounts=accounts)
    with pytest.raises(Refused):
        tokens.listed("unknown", caller=acting(accounts, "ann"), accounts=accounts)


def test_revoking_what_is_not_there_says_so(accounts):
    with_token(accounts, "bob", "secret", id="t1")

    with pytest.raises(NotFound):
        tokens.revoke("ann", "t1", caller=acting(accounts, "ann"), accounts=accounts)
    assert accounts.token(digest("secret"))


def test_a_user_has_so_many_tokens_and_expired_ones_make_room(accounts):
    ann = acting(accounts, "ann")
    for number in range(tokens.MOST):
        expires = NOW + 10 if number == 3 else None
        made = token("ann", str(number), id=str(number), expires=expires)
        tokens.create(made, caller=ann, accounts=accounts)

    with pytest.raises(Invalid, match="20 tokens already"):
        tokens.create(token("ann", "late"), caller=ann, accounts=accounts)

    tokens.create(token("ann", "later", created=NOW + 10), caller=ann, accounts=accounts)
    assert tokens.MOST == len(accounts.tokens("ann"))
    assert accounts.token(digest("3")) is None


def test_two_tokens_made_at_once_are_counted_one_after_the_other(accounts):
    ann = acting(accounts, "ann")
    for number in range(tokens.MOST - 1):
        tokens.create(token("ann", str(number), id=str(number)), caller=ann, accounts=accounts)
    accounts.interrupt = lambda: tokens.create(token("ann", "first"), caller=ann, accounts=accounts)

    with pytest.raises(Invalid):
        tokens.create(token("ann", "second"), caller=ann, accounts=accounts)
    assert tokens.MOST == len(accounts.tokens("ann"))


def test_a_token_that_expires_makes_none_that_outlives_it(accounts):
    brief = acting(accounts, "ann", token_expires=NOW + 60)

    for expires in (None, NOW + 61):
        with pytest.raises(Refused):
            tokens.create(token("ann", expires=expires), caller=brief, accounts=accounts)
    tokens.create(token("ann", expires=NOW + 60), caller=brief, accounts=accounts)


def test_a_token_made_while_its_user_is_deleted_opens_nothing(accounts):
    api = acting(accounts, "api")
    accounts.interrupt = lambda: users.delete(["ann"], caller=api, accounts=accounts)

    with pytest.raises(NotFound):
        tokens.create(token("ann"), caller=acting(accounts, "ann"), accounts=accounts)
    assert accounts.token(digest("secret")) is None


def test_tokens_are_known_by_their_secret_until_they_expire(accounts):
    with_token(accounts, "ann", "secret", expires=NOW + 60)

    found = access.identify("secret", now=NOW + 59, accounts=accounts)
    assert ("user", "ann", "id-secret", NOW + 60) == (found.kind, found.user, found.token, found.expires)
    assert access.identify("secret", now=NOW + 60, accounts=accounts) is None


@pytest.mark.parametrize("key", ["", "unknown", "x" * 257, digest("secret"), "Secret", "\ud800"])
def test_what_is_no_token_opens_nothing(accounts, key):
    with_token(accounts, "ann", "secret")

    assert access.identify(key, now=NOW, accounts=accounts) is None


def test_a_deployment_begins_with_its_roles_its_user_and_its_token():
    accounts, secret = FakeAccounts(), FakeSecret({"first": FIRST})

    for _ in range(2):
        deployment.establish(now=NOW, secret=secret, accounts=accounts)

    assert ["IT Operator", "byoc"] == [each.name for each in accounts.roles()]
    assert all(EVERYTHING == each.permissions for each in accounts.roles())
    assert (OPERATOR,) == accounts.user("api").roles
    assert "deployment" == access.identify(FIRST, now=NOW, accounts=accounts).kind


def test_a_deployment_made_again_keeps_what_was_changed(accounts):
    role = accounts.role("byoc")
    accounts.save_role(role, was=role)
    users.begin("api", [OPERATOR, "byoc"], deployment=True, accounts=accounts)

    deployment.establish(now=NOW, secret=FakeSecret({"first": FIRST}), accounts=accounts)

    assert (OPERATOR, "byoc") == accounts.user("api").roles


def test_a_deployment_that_is_killed_half_way_is_begun_again():
    accounts, secret = FakeAccounts(writes_left=2), FakeSecret({"first": FIRST})
    with pytest.raises(Killed):
        deployment.establish(now=NOW, secret=secret, accounts=accounts)
    accounts.writes_left = None

    deployment.establish(now=NOW, secret=secret, accounts=accounts)

    assert acting(accounts, "api").may("user:all")
    assert access.identify(FIRST, now=NOW, accounts=accounts)


@pytest.mark.parametrize("weak", ["", "short", "x" * 31, "x" * 257, "x" * 40 + "\n", "ä" * 40, " " * 40])
def test_a_secret_that_is_no_token_is_refused_and_not_told(accounts, weak):
    with pytest.raises(Failed) as refusal:
        deployment.establish(now=NOW, secret=FakeSecret({"first": weak}), accounts=accounts)
    assert not weak or weak not in str(refusal.value)


def test_another_value_of_the_secret_replaces_the_token(accounts):
    secret = FakeSecret({"first": FIRST})
    deployment.synchronise(now=NOW, secret=secret, accounts=accounts)
    secret.values["first"] = SECOND

    deployment.synchronise(now=NOW, secret=secret, accounts=accounts)

    assert access.identify(FIRST, now=NOW, accounts=accounts) is None
    assert access.identify(SECOND, now=NOW, accounts=accounts)


def opening(accounts):
    return [bool(access.identify(each, now=NOW, accounts=accounts)) for each in (FIRST, SECOND)]


def test_while_a_secret_rotates_both_open_and_afterwards_the_new_one_alone(accounts):
    secret = FakeSecret({"first": FIRST})
    deployment.synchronise(now=NOW, secret=secret, accounts=accounts)
    seen = []

    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        for fresh in (SECOND, "another" * 6):
            deployment.rotate(step, "second", now=NOW, fresh=fresh, secret=secret, accounts=accounts)
        seen.append(opening(accounts))

    assert [[True, False], [True, True], [True, True], [False, True]] == seen
    assert SECOND == secret.current()


def test_a_rotation_is_tested_and_knows_its_steps(accounts):
    secret = FakeSecret({"first": FIRST, "second": SECOND})

    for step in ("testSecret", "somethingElse"):
        with pytest.raises(Failed):
            deployment.rotate(step, "second", now=NOW, fresh="", secret=secret, accounts=accounts)
    with pytest.raises(Failed):
        deployment.rotate("setSecret", "third", now=NOW, fresh="", secret=secret, accounts=accounts)


def passing(allowance, user, times, now=100.0):
    """How many of so many requests pass."""
    passed = 0
    for _ in range(times):
        try:
            allowance.admit(user, now=now)
        except Throttled:
            continue
        passed += 1
    return passed


def test_a_user_passes_up_to_the_limit_in_few_writes_and_again_in_the_next_window():
    rates = FakeRates()
    allowance = Allowance(rates=rates, limit=100)

    assert 100 == passing(allowance, "ann", 500)
    assert rates.writes < 50
    assert 1 == passing(allowance, "bob", 1)
    assert 100 == passing(allowance, "ann", 101, now=110.0)


def test_functions_share_a_users_limit():
    rates = FakeRates()
    functions = [Allowance(rates=rates, limit=64) for _ in range(4)]

    passed = sum(passing(each, "ann", 1) for _ in range(100) for each in functions)

    assert 32 <= passed <= 64


def test_nobody_is_refused_who_has_asked_less_than_half_of_the_limit():
    rates = FakeRates()
    functions = [Allowance(rates=rates, limit=64) for _ in range(16)]

    assert 32 == sum(passing(each, "ann", 2) for each in functions)


def test_what_is_remembered_of_users_is_bounded():
    allowance = Allowance(rates=FakeRates(), limit=5)

    assert 2500 == sum(passing(allowance, str(number), 1) for number in range(2500))
    assert len(allowance._leaves) <= 1000
