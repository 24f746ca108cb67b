"""People: the users of a middleware, their roles, and the tokens by which they act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atelier_webui.calls import Calls

if TYPE_CHECKING:
    from atelier_webui.contract.api.roles import Role, Roles
    from atelier_webui.contract.api.tokens import CreatedToken, Token, Tokens
    from atelier_webui.contract.api.users import User, Users

DAY = 24 * 3600


@dataclass(frozen=True)
class People:
    """Who may do what with an account's middleware; it refuses whoever may not know."""

    calls: Calls

    def users(self) -> list[User]:
        """List the users: all of them on one page, says the contract."""
        page: Users = self.calls.data("ListUsers")
        return list(page.users)

    def roles(self) -> list[Role]:
        """List the roles, all of them, too."""
        page: Roles = self.calls.data("ListRoles")
        return list(page.roles)

    def tokens(self, username: str) -> list[Token]:
        """List the tokens of a user, which tell no secret."""
        page: Tokens = self.calls.data("ListTokens", username=username)
        return list(page.tokens)

    def keep_user(self, name: str, roles: Sequence[str]) -> None:
        """Make a user, or give one other roles."""
        from atelier_webui.contract.api.users import CreateUserRequest

        self.calls.ask("CreateUser", CreateUserRequest(username=name, roles=tuple(roles)))

    def delete_users(self, names: Sequence[str]) -> None:
        """Delete users and their tokens; unknown names are fine."""
        from atelier_webui.contract.api.users import DeleteUsersRequest

        self.calls.ask("DeleteUsers", DeleteUsersRequest(user_name_list=tuple(names)))

    def keep_role(self, name: str, permissions: Sequence[str]) -> None:
        """Make a role, or give one other permissions."""
        from atelier_webui.contract.api.roles import CreateRoleRequest

        self.calls.ask("CreateRole", CreateRoleRequest(role_name=name, permissions=tuple(permissions)))

    def delete_roles(self, names: Sequence[str]) -> None:
        """Delete roles, and take them from who has them."""
        from atelier_webui.contract.api.roles import DeleteRolesRequest

        self.calls.ask("DeleteRoles", DeleteRolesRequest(role_name_list=tuple(names)))

    def make_token(self, username: str, *, description: str = "", days: int = 0) -> CreatedToken:
        """Make a token that lives so many days, or for ever; its secret is told this once."""
        from atelier_webui.contract.api.tokens import CreateTokenRequest

        request = CreateTokenRequest(description=description, expires_in=days * DAY or None)
        made: CreatedToken = self.calls.data("CreateToken", request, username=username)
        return made

    def revoke_token(self, username: str, id: str) -> None:
        """Take a token out of use."""
        self.calls.ask("DeleteToken", username=username, id=id)
