"""The users, roles and tokens of the middleware in memory."""

from __future__ import annotations

import uuid
from typing import Any

EVERYTHING = (
    *("inference:all", "checkpoint:all", "sagemaker_endpoint:all"),
    *("role:all", "user:all", "train:all"),
)


class Refused(Exception):
    """What the caller did wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class People:
    """Who there is, and what they may do."""

    tokens: dict[str, str]
    users: dict[str, dict[str, Any]]
    roles: dict[str, dict[str, Any]]
    made_tokens: dict[str, dict[str, Any]]

    def _settle_people(self) -> None:
        self.roles = {}
        self.role("artist", *EVERYTHING)
        self.users = {}
        for name in ("anna", "ben"):
            self.user(name, "artist")
        self.made_tokens = {}

    def role(self, name: str, *permissions: str) -> None:
        """Make a role."""
        self.roles[name] = {"role_name": name, "creator": "api", "permissions": list(permissions)}

    def user(self, name: str, *roles: str) -> None:
        """Make a user."""
        self.users[name] = {"username": name, "roles": list(roles), "creator": "api"}

    def _held(self, user: str) -> list[str]:
        roles = self.users.get(user, {"roles": []})["roles"]
        return sorted({each for role in roles for each in self.roles[role]["permissions"]})

    def _allow(self, user: str, *permissions: str) -> None:
        if not {*permissions} & {*self._held(user)}:
            raise Refused(403, f"User {user} has no permissions: {list(permissions)}")

    def _ListRoles(self, user: str, **_: Any) -> Any:
        self._allow(user, "role:all", "role:list")
        return 200, {"roles": list(self.roles.values()), "last_evaluated_key": None}, "OK"

    def _CreateRole(self, body: Any, user: str, **_: Any) -> Any:
        self._allow(user, "role:all", "role:create")
        held = {*self._held(user)}
        if beyond := [
            each for each in body["permissions"] if not {each, f"{each.partition(':')[0]}:all"} & held
        ]:
            raise Refused(400, f"creator has no permission {beyond[0]}")
        self.role(body["role_name"], *body["permissions"])
        return 201, None, "role created"

    def _DeleteRoles(self, body: Any, user: str, **_: Any) -> Any:
        self._allow(user, "role:all")
        for name in body["role_name_list"]:
            self.roles.pop(name, None)
            for each in self.users.values():
                each["roles"] = [role for role in each["roles"] if role != name]
        return 204, None, ""

    def _ListUsers(self, user: str, **_: Any) -> Any:
        self._allow(user, "user:all", "user:list")
        told = [
            {**each, "permissions": self._held(name), "password": "********"}
            for name, each in self.users.items()
        ]
        return 200, {"users": told, "last_evaluated_key": None}, "OK"

    def _CreateUser(self, body: Any, user: str, **_: Any) -> Any:
        self._allow(user, "user:all")
        if unknown := [each for each in body["roles"] if each not in self.roles]:
            raise Refused(400, f'user roles "{unknown[0]}" not exist')
        self.user(body["username"], *body["roles"])
        return 201, None, "User created"

    def _DeleteUsers(self, body: Any, user: str, **_: Any) -> Any:
        self._allow(user, "user:all")
        for name in body["user_name_list"]:
            self.users.pop(name, None)
        return 204, None, ""

    def _ListTokens(self, path: dict[str, str], **_: Any) -> Any:
        found = [each for each in self.made_tokens.values() if each["username"] == path["username"]]
        return 200, {"tokens": found, "last_evaluated_key": None}, "OK"

    def _CreateToken(self, path: dict[str, str], body: Any, **_: Any) -> Any:
        if path["username"] not in self.users:
            raise Refused(404, f"user {path['username']} not found")
        id = uuid.uuid4().hex[:12]
        times = {"created": "2026-01-02T03:04:05Z", "expires": None}
        if body.get("expires_in"):
            times["expires"] = "2027-01-02T03:04:05Z"
        made = {"id": id, "username": path["username"], "description": body.get("description", ""), **times}
        secret = f"secret-of-{id}"
        self.made_tokens[id], self.tokens[secret] = made, path["username"]
        return 201, {"token": made, "secret": secret}, "token created"

    def _DeleteToken(self, path: dict[str, str], **_: Any) -> Any:
        self.made_tokens.pop(path["id"], None)
        self.tokens.pop(f"secret-of-{path['id']}", None)
        return 204, None, ""
