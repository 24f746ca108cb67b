"""Roles and users: who may grant what, and what is left when a function is killed."""

from dataclasses import replace
from itertools import count

import pytest
from account_fakes import FakeAccounts, Killed, acting, begun, with_role, with_token, with_user

from atelier.contract.api.roles import PERMISSIONS
from atelier.lambdas.domain.accounts import (
    EVERYTHING,
    OPERATOR,
    Caller,
    Principal,
    User,
    allows,
    lacking,
)
from atelier.lambdas.errors import Busy, Conflict, Invalid, Refused, Unauthenticated
from atelier.lambdas.services.middleware import access, roles, users
from atelier.lambdas.services.middleware.access import digest


@pytest.fixture
def accounts():
    return begun(FakeAccounts())


@pytest.fixture
def api(accounts):
    return acting(accounts, "api")


def test_all_of_a_resource_includes_its_other_permissions_and_no_other_resources():
    assert all(allows(EVERYTHING, each) for each in PERMISSIONS)
    assert allows({"user:all"}, "user:create")
    assert not allows({"user:all"}, "role:list")
    assert not allows({"user:create", "user:list"}, "user:all")
    assert not allows({"sagemaker_endpoint:all"}, "sagemaker:all")


def test_one_of_an_operations_permissions_is_enough_and_none_is_for_everybody():
    caller = Caller(user=User(name="ann", creator="api"), permissions=frozenset({"role:list"}))

    assert caller.may("role:all", "role:list")
    assert not caller.may("role:all", "role:create")
    assert caller.may()


def test_a_principal_survives_the_authorizers_context():
    for each in (
        Principal(kind="deployment", token="deployment"),
        Principal(kind="user", user="ann", token="7", expires=9),
    ):
        assert each == Principal.of({**each.context(), "principalId": "x", "integrationLatency": 3})


@pytest.mark.parametrize("context", [{}, {"principal": "root"}, {"principal": "user"}, {"user": "api"}])
def test_a_context_that_is_not_the_authorizers_names_nobody(context):
    assert Principal.of(context) is None


def test_the_deployments_token_acts_for_whom_it_names(accounts):
    found = access.caller(Principal(kind="deployment"), "api", accounts=accounts)

    assert ("api", True) == (found.name, found.deployment)
    assert found.may("user:all")


def test_a_users_token_acts_for_its_user_named_or_not(accounts):
    with_user(accounts, "ann")

    for name in (None, "", "ann"):
        found = access.caller(Principal(kind="user", user="ann"), name, accounts=accounts)
        assert ("ann", False) == (found.name, found.deployment)


def test_a_users_token_acts_for_nobody_else(accounts):
    with_user(accounts, "ann")

    for name in ("api", "unknown"):
        with pytest.raises(Refused):
            access.caller(Principal(kind="user", user="ann"), name, accounts=accounts)


@pytest.mark.parametrize("name", [None, "", "unknown"])
def test_nobody_acts_unnamed_or_unknown(accounts, name):
    with pytest.raises(Unauthenticated, match="Unauthorized"):
        access.caller(Principal(kind="deployment"), name, accounts=accounts)


def test_a_role_that_is_leaving_gives_nothing(accounts):
    was = with_role(accounts, "painter", "inference:all")
    with_user(accounts, "ann", "painter", "byoc")
    with_role(accounts, "unused", "train:all")
    accounts.save_role(replace(was, leaving=True), was=was)

    assert EVERYTHING == acting(accounts, "ann").permissions
    accounts.save_user(
        replace(accounts.user("ann"), roles=("painter",)),
        was=accounts.user("ann"),
    )
    assert frozenset() == acting(accounts, "ann").permissions
    assert ["IT Operator", "byoc", "unused"] == [each.name for each in roles.listed(accounts=accounts)]


@pytest.mark.parametrize(
    ("held", "wanted", "refused"),
    [
        (["role:create", "train:all"], ["train:list", "train:create", "train:all"], []),
        (["role:create", "train:create", "train:list"], ["train:all"], ["train:all"]),
        (["role:create"], ["role:create"], []),
        (["role:create"], ["role:create", "role:list"], ["role:list"]),
        (["role:all"], ["user:list", "inference:all"], ["inference:all", "user:list"]),
    ],
)
def test_nobody_makes_a_role_that_may_more_than_they(accounts, held, wanted, refused):
    with_role(accounts, "limited", *held)
    with_user(accounts, "ann", "limited")
    caller = acting(accounts, "ann")

    assert refused == lacking(caller.permissions, wanted)
    if refused:
        with pytest.raises(Invalid, match="creator ann has no permissions"):
            roles.save("new", wanted, caller=caller, accounts=accounts)
        assert accounts.role("new") is None
        with_role(accounts, "new", *wanted)
        with pytest.raises(Invalid, match="has no permissions"):
            users.save("bob", ["new"], caller=caller, accounts=accounts)
        assert accounts.user("bob") is None
    else:
        roles.save("new", wanted, caller=caller, accounts=accounts)
        users.save("bob", ["new"], caller=caller, accounts=accounts)
        assert frozenset(wanted) == acting(accounts, "bob").permissions


def test_an_unknown_permission_is_named(accounts, api):
    with pytest.raises(Invalid, match='permission "train:everything" not exist'):
        roles.save("new", ["train:all", "train:everything"], caller=api, accounts=accounts)


def test_a_role_is_changed_and_keeps_its_creator(accounts, api):
    first = roles.save("painter", ["inference:all"], caller=api, accounts=accounts)
    users.save("ann", ["byoc"], caller=api, accounts=accounts)

    second = roles.save("painter", ["train:list"], caller=acting(accounts, "ann"), accounts=accounts)

    assert ("api", "api") == (first.creator, second.creator)
    assert {"train:list"} == accounts.role("painter").permissions


def test_the_operators_role_keeps_everything(accounts, api):
    roles.save(OPERATOR, sorted(PERMISSIONS), caller=api, accounts=accounts)

    with pytest.raises(Invalid, match="cannot change default role"):
        roles.save(OPERATOR, ["train:all"], caller=api, accounts=accounts)


def test_default_roles_cannot_be_deleted_nor_anything_beside_them(accounts):
    with_role(accounts, "painter", "train:all")

    for name in (OPERATOR, "byoc"):
        with pytest.raises(Invalid, match="cannot delete default role"):
            roles.delete(["painter", name], accounts=accounts)
    assert accounts.role("painter")


def test_a_deleted_role_is_taken_from_its_users(accounts):
    with_role(accounts, "painter", "train:all")
    with_user(accounts, "ann", "painter", "byoc")
    with_user(accounts, "bob", "painter")

    roles.delete(["painter", "unknown", "painter"], accounts=accounts)

    assert accounts.role("painter") is None
    assert (("byoc",), ()) == (accounts.user("ann").roles, accounts.user("bob").roles)


def kills():
    """Every number of writes after which a function can be killed."""
    return count()


def test_a_role_deleted_by_a_function_that_is_killed_gives_nothing_and_is_deleted_again(accounts):
    for writes in kills():
        with_role(accounts, "painter", "train:all")
        for name in ("ann", "bob"):
            users.save(name, ["painter"], caller=acting(accounts, "api"), accounts=accounts)
        accounts.writes_left = writes
        try:
            roles.delete(["painter"], accounts=accounts)
        except Killed:
            pass
        else:
            break
        finally:
            accounts.writes_left = None
        if writes:
            assert frozenset() == acting(accounts, "ann").permissions
            with pytest.raises(Invalid, match="not exist"):
                users.save("eve", ["painter"], caller=acting(accounts, "api"), accounts=accounts)
        roles.delete(["painter"], accounts=accounts)
        assert accounts.role("painter") is None
        assert ((), ()) == (accounts.user("ann").roles, accounts.user("bob").roles)
    assert 4 == writes


def test_a_role_made_again_after_a_kill_is_not_its_former_users(accounts, api):
    with_role(accounts, "painter", "user:all")
    with_user(accounts, "ann", "painter")
    accounts.writes_left = 1
    with pytest.raises(Killed):
        roles.delete(["painter"], accounts=accounts)
    accounts.writes_left = None

    roles.save("painter", ["role:all"], caller=api, accounts=accounts)

    assert () == accounts.user("ann").roles
    assert {"role:all"} == accounts.role("painter").permissions


def test_users_are_listed_with_what_they_may(accounts):
    with_role(accounts, "painter", "inference:all")
    with_user(accounts, "ann", "painter")

    assert [("ann", {"inference:all"}), ("api", EVERYTHING)] == [
        (user.name, held) for user, held in users.listed(accounts=accounts)
    ]
    assert ["ann"] == [user.name for user, _ in users.listed("ann", accounts=accounts)]
    assert [] == users.listed("unknown", accounts=accounts)


def test_an_unknown_role_is_named(accounts, api):
    with pytest.raises(Invalid, match='user roles "painter" not exist'):
        users.save("ann", ["byoc", "painter"], caller=api, accounts=accounts)


def test_a_user_is_changed_and_keeps_roles_that_are_not_mentioned(accounts, api):
    users.save("ann", ["byoc", "byoc", OPERATOR], caller=api, accounts=accounts)
    users.save("ann", None, caller=api, accounts=accounts)
    assert ("byoc", OPERATOR) == accounts.user("ann").roles

    users.save("ann", ["byoc"], caller=api, accounts=accounts)
    assert ("byoc",) == accounts.user("ann").roles


def test_a_role_deleted_while_a_user_is_saved_is_not_theirs(accounts, api):
    with_role(accounts, "painter", "train:all")
    accounts.interrupt = lambda: roles.delete(["painter"], accounts=accounts)

    with pytest.raises(Invalid, match='user roles "painter" not exist'):
        users.save("ann", ["painter"], caller=api, accounts=accounts)


def test_two_writers_of_one_user_both_succeed_one_after_the_other(accounts, api):
    with_user(accounts, "ann")
    accounts.interrupt = lambda: users.save("ann", ["byoc"], caller=api, accounts=accounts)

    users.save("ann", [OPERATOR], caller=api, accounts=accounts)

    assert (OPERATOR,) == accounts.user("ann").roles


def test_a_change_that_others_always_come_before_gives_up_for_now():
    def change():
        raise Conflict("again")

    with pytest.raises(Busy):
        access.settled(change)


def test_the_first_user_is_an_operator_and_made_with_the_deployments_token_alone(accounts):
    assert (OPERATOR,) == users.begin("ann", None, deployment=True, accounts=accounts).roles
    assert ("byoc",) == users.begin("bob", ["byoc"], deployment=True, accounts=accounts).roles

    with pytest.raises(Refused):
        users.begin("eve", None, deployment=False, accounts=accounts)
    with pytest.raises(Invalid, match="not exist"):
        users.begin("eve", ["painter"], deployment=True, accounts=accounts)
    assert accounts.user("eve") is None


def test_the_default_user_and_the_acting_one_stay(accounts, api):
    with_user(accounts, "ann", "byoc")

    with pytest.raises(Invalid, match="cannot delete default user"):
        users.delete(["ann", "api"], caller=api, accounts=accounts)
    with pytest.raises(Invalid, match="cannot delete the acting user"):
        users.delete(["ann"], caller=acting(accounts, "ann"), accounts=accounts)
    with pytest.raises(Invalid, match="keeps the role"):
        users.save("api", ["byoc"], caller=api, accounts=accounts)
    assert accounts.user("ann")


def test_a_deleted_user_has_no_tokens_and_deleting_is_idempotent(accounts, api):
    with_user(accounts, "ann", "byoc")
    with_token(accounts, "ann", "secret")

    for _ in range(2):
        users.delete(["ann", "unknown"], caller=api, accounts=accounts)

    assert accounts.user("ann") is None
    assert accounts.token(digest("secret")) is None
    assert [] == list(accounts.members("byoc"))


def test_a_user_deleted_by_a_function_that_is_killed_can_do_nothing_and_is_deleted_again(accounts, api):
    for writes in kills():
        with_user(accounts, "ann", "byoc")
        for secret in ("one", "two"):
            with_token(accounts, "ann", secret)
        accounts.writes_left = writes
        try:
            users.delete(["ann"], caller=api, accounts=accounts)
        except Killed:
            pass
        else:
            break
        finally:
            accounts.writes_left = None
        if writes:
            with pytest.raises(Unauthenticated):
                access.caller(Principal(kind="user", user="ann"), None, accounts=accounts)
            assert ["api"] == [user.name for user, _ in users.listed(accounts=accounts)]
        users.delete(["ann"], caller=api, accounts=accounts)
        assert accounts.user("ann") is None
        assert [] == accounts.tokens("ann")
    assert 4 == writes


def test_a_user_made_again_after_a_kill_has_nothing_of_the_former_one(accounts, api):
    with_user(accounts, "ann", "byoc")
    with_token(accounts, "ann", "secret")
    accounts.writes_left = 1
    with pytest.raises(Killed):
        users.delete(["ann"], caller=api, accounts=accounts)
    accounts.writes_left = None

    users.save("ann", None, caller=api, accounts=accounts)

    assert () == accounts.user("ann").roles
    assert accounts.token(digest("secret")) is None
