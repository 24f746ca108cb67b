"""Roles, users and tokens in DynamoDB.

The table has the string keys ``pk`` and ``sk``, and no index:

=================  =============  =====================================================================
pk                 sk             other attributes
=================  =============  =====================================================================
``USER``           name           ``roles``, ``creator``, ``version``, ``leaving``
``ROLE``           name           ``permissions``, ``creator``, ``version``, ``leaving``
``ROLE#<role>``    name of user   none: that user has the role
``TOKEN#<hash>``   ``TOKEN``      ``id``, ``user``, ``description``, ``created``, ``expires``
``USER#<user>``    token's id     ``sha256``, ``user``, ``description``, ``created``, ``expires``
``DEPLOYMENT``     sha256         none: that token is the deployment's own
=================  =============  =====================================================================

Lists are queries of one partition, which are consistent, as those of an index are not: what was made is
listed at once, what was deleted is gone. A partition gives 3000 such reads a second before it is split.

A user and the items that say which roles they have change in one transaction, and so do a token's two items.
Every write is conditional upon the ``version`` that was read; versions are random, so that a user made again
by the same name is another one.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from atelier.lambdas.adapters.tables import Item, guarded, item, plain
from atelier.lambdas.domain.accounts import Role, Token, User
from atelier.lambdas.errors import Busy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

ABSENT = {"ConditionExpression": "attribute_not_exists(pk)"}
STAYING = "attribute_exists(pk) AND attribute_not_exists(leaving)"
LONGEST_NAME = 1024
"""Bytes of the longest sort key."""

ROUNDS = 5
"""How often a batch of reads is asked again for what was left out."""


class DynamoAccounts:
    """Roles, users and tokens."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def user(self, name: str) -> User | None:
        """Return a user as they are now."""
        found = self._get("USER", name)
        return None if found is None else _user(found)

    def users(self) -> Iterator[User]:
        """Return every user, by name."""
        return map(_user, self._query("USER"))

    def save_user(self, user: User, *, was: User | None) -> User:
        """Put *user* in the place of *was* and return it; Conflict, too, when a role to add is not there."""
        after, before = set(user.roles), set(was.roles if was else ())
        saved = replace(user, version=uuid.uuid4().hex)
        added = [
            part
            for role in sorted(after - before)
            for part in (
                self._check(_key("ROLE", role), STAYING),
                self._put(_key(f"ROLE#{role}", user.name)),
            )
        ]
        removed = [self._delete(_key(f"ROLE#{role}", user.name)) for role in sorted(before - after)]
        put = self._put(
            {
                **_key("USER", user.name),
                **item({"roles": list(user.roles), "creator": user.creator, **_marks(saved)}),
            },
            **_unchanged(was),
        )
        self._transact(f"the user {user.name} was changed elsewhere", [put, *added, *removed])
        return saved

    def remove_user(self, user: User) -> None:
        """Remove a user who is leaving and has no roles or tokens any more."""
        self._remove(_key("USER", user.name), user)

    def role(self, name: str) -> Role | None:
        """Return a role as it is now."""
        found = self._get("ROLE", name)
        return None if found is None else _role(found)

    def roles(self) -> Iterator[Role]:
        """Return every role, by name."""
        return map(_role, self._query("ROLE"))

    def roles_named(self, names: Collection[str]) -> list[Role]:
        """Return those of at most 100 roles that are there."""
        keys = [_key("ROLE", name) for name in dict.fromkeys(names) if _fits(name)]
        found: list[Role] = []
        for _ in range(ROUNDS):
            if not keys:
                return found
            with guarded("never"):
                answer = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
                )
            found += [_role(plain(each)) for each in answer["Responses"].get(self._table, [])]
            keys = list(answer["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"])
        raise Busy("the table is too busy, try again")

    def save_role(self, role: Role, *, was: Role | None) -> Role:
        """Put *role* in the place of *was* and return it."""
        saved = replace(role, version=uuid.uuid4().hex)
        values = item({"permissions": sorted(role.permissions), "creator": role.creator, **_marks(saved)})
        with guarded(f"the role {role.name} was changed elsewhere"):
            self._client.put_item(
                TableName=self._table, Item={**_key("ROLE", role.name), **values}, **_unchanged(was)
            )
        return saved

    def remove_role(self, role: Role) -> None:
        """Remove a role that is leaving and that no user has any more."""
        self._remove(_key("ROLE", role.name), role)

    def members(self, role: str) -> list[str]:
        """Return the names of the users who have a role."""
        return [each["sk"] for each in self._query(f"ROLE#{role}")]

    def token(self, sha256: str) -> Token | None:
        """Return the token of that digest."""
        found = self._get(f"TOKEN#{sha256}", "TOKEN")
        return None if found is None else _token({**found, "sha256": sha256})

    def tokens(self, user: str) -> list[Token]:
        """Return a user's tokens, the oldest first."""
        return sorted(map(_token, self._query(f"USER#{user}")), key=lambda each: (each.created, each.id))

    def add_token(self, token: Token, *, user: User) -> None:
        """Keep a user's token; Conflict when the user is not as given any more."""
        changed: TransactWriteItemTypeDef = {
            "Update": {
                "TableName": self._table,
                "Key": _key("USER", user.name),
                "UpdateExpression": "SET version = :next",
                "ConditionExpression": "version = :was AND attribute_not_exists(leaving)",
                "ExpressionAttributeValues": item({":next": uuid.uuid4().hex, ":was": user.version}),
            }
        }
        kept = self._put({**_key(f"USER#{user.name}", token.id), **item(_facts(token))}, **ABSENT)
        found = self._put(self._opening(token), **ABSENT)
        self._transact(f"the user {user.name} was changed elsewhere", [changed, kept, found])

    def remove_token(self, token: Token) -> None:
        """Forget a token; none is fine."""
        gone = [self._delete(_key(f"TOKEN#{token.sha256}", "TOKEN"))]
        if token.user is not None:
            gone.append(self._delete(_key(f"USER#{token.user}", token.id)))
        self._transact(f"the token {token.id} was changed elsewhere", gone)

    def deployment_tokens(self) -> frozenset[str]:
        """Return the digests of the deployment's tokens."""
        return frozenset(each["sk"] for each in self._query("DEPLOYMENT"))

    def keep_deployment_tokens(self, digests: Collection[str], *, now: int) -> None:
        """Make *digests* the deployment's tokens and forget every other."""
        before, after = self.deployment_tokens(), frozenset(digests)
        added = [
            self._put(each)
            for sha256 in sorted(after)
            for each in (
                _key("DEPLOYMENT", sha256),
                self._opening(Token(id="deployment", sha256=sha256, created=now)),
            )
        ]
        removed = [
            self._delete(each)
            for sha256 in sorted(before - after)
            for each in (_key("DEPLOYMENT", sha256), _key(f"TOKEN#{sha256}", "TOKEN"))
        ]
        self._transact("the deployment's token was changed elsewhere", [*added, *removed])

    def _opening(self, token: Token) -> Item:
        """Return the item by which a token's secret is recognised."""
        facts = {name: value for name, value in _facts(token).items() if name != "sha256"}
        return {**_key(f"TOKEN#{token.sha256}", "TOKEN"), **item({"id": token.id, **facts})}

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        if not _fits(sk):
            return None
        with guarded("never"):
            found = self._client.get_item(TableName=self._table, Key=_key(pk, sk), ConsistentRead=True)
        return plain(found["Item"]) if "Item" in found else None

    def _query(self, pk: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=item({":pk": pk}),
            ConsistentRead=True,
        )
        with guarded("never"):
            for page in pages:
                yield from map(plain, page["Items"])

    def _remove(self, key: Item, leaver: User | Role) -> None:
        with guarded(f"{leaver.name} was changed elsewhere"):
            self._client.delete_item(
                TableName=self._table,
                Key=key,
                ConditionExpression="version = :was AND leaving = :leaving",
                ExpressionAttributeValues=item({":was": leaver.version, ":leaving": True}),
            )

    def _transact(self, conflict: str, parts: list[TransactWriteItemTypeDef]) -> None:
        with guarded(conflict):
            self._client.transact_write_items(TransactItems=parts)

    def _put(self, values: Item, **condition: Any) -> TransactWriteItemTypeDef:
        put: Any = {"TableName": self._table, "Item": values, **condition}
        return {"Put": put}

    def _delete(self, key: Item) -> TransactWriteItemTypeDef:
        return {"Delete": {"TableName": self._table, "Key": key}}

    def _check(self, key: Item, condition: str) -> TransactWriteItemTypeDef:
        return {
            "ConditionCheck": {"TableName": self._table, "Key": key, "ConditionExpression": condition},
        }


def _fits(name: str) -> bool:
    """Say whether there can be an item of that name: DynamoDB refuses to look for others."""
    return 0 < len(name.encode(errors="replace")) <= LONGEST_NAME


def _key(pk: str, sk: str) -> Item:
    return item({"pk": pk, "sk": sk})


def _marks(saved: User | Role) -> dict[str, Any]:
    return {"version": saved.version, "leaving": saved.leaving or None}


def _unchanged(was: User | Role | None) -> dict[str, Any]:
    if was is None:
        return dict(ABSENT)
    return {
        "ConditionExpression": "version = :was",
        "ExpressionAttributeValues": item({":was": was.version}),
    }


def _facts(token: Token) -> dict[str, Any]:
    names = ("sha256", "user", "description", "created", "expires")
    return {name: getattr(token, name) for name in names}


def _user(found: Mapping[str, Any]) -> User:
    return User(
        name=found["sk"],
        roles=tuple(found["roles"]),
        creator=found["creator"],
        leaving=found.get("leaving", False),
        version=found["version"],
    )


def _role(found: Mapping[str, Any]) -> Role:
    return Role(
        name=found["sk"],
        permissions=frozenset(found["permissions"]),
        creator=found["creator"],
        leaving=found.get("leaving", False),
        version=found["version"],
    )


def _token(found: Mapping[str, Any]) -> Token:
    expires = found.get("expires")
    return Token(
        id=found.get("id", found["sk"]),
        sha256=found["sha256"],
        user=found.get("user"),
        description=found["description"],
        created=int(found["created"]),
        expires=None if expires is None else int(expires),
    )
