"""The users, their roles and their tokens, for who may see them: the middleware says who."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from atelier_webui.compat import listen
from atelier_webui.desk import Desk
from atelier_webui.errors import Problem, Refusal
from atelier_webui.people import People
from atelier_webui.ui import words
from atelier_webui.ui.answers import CONFIRMED, clearing, confirming, telling

if TYPE_CHECKING:
    from atelier_webui.contract.api.roles import Role
    from atelier_webui.contract.api.users import User

REFRESH = "atelier_users_refresh"
FIRST = "Refresh shows who may do what."
DAYS = {"a week": 7, "a month": 30, "a year": 365, "for ever": 0}


@dataclass(frozen=True)
class Pane:
    """The components that more than one event needs."""

    account: Any
    message: Any
    told: Any
    content: Any
    users: Any
    roles: Any
    user: Any
    role: Any
    given: Any
    permissions: Any

    @property
    def shown(self) -> list[Any]:
        """Return what a list goes to, after what is told of it."""
        return [self.content, self.users, self.roles, self.user, self.role, self.given]


def build(desk: Desk, account: Any) -> None:
    """Make the pane; *account* is the menu above all panes. What it can do is shown to who may do it."""
    with gr.Row(elem_classes=["atelier-actions"]):
        refresh = gr.Button("Refresh", elem_id=REFRESH)
    message = gr.HTML(words.note(FIRST), elem_id="atelier_users_message")
    told = gr.HTML("", elem_id="atelier_users_told")
    with gr.Column(visible=False, elem_id="atelier_users_content") as content:
        pane, buttons = _build_people(account, message, told, content)
        _build_tokens(desk, pane)
    listing, outputs = telling(lambda name: _refresh(desk, name), 7), [message, *pane.shown]
    listen(refresh.click, listing, [account], outputs)
    clearing(account, [*outputs, told], [*_hidden(FIRST), ""], REFRESH)
    _wire(desk, pane, buttons)


def _build_people(account: Any, message: Any, told: Any, content: Any) -> tuple[Pane, dict[str, Any]]:
    buttons: dict[str, Any] = {}
    users = gr.HTML("", elem_id="atelier_users")
    with gr.Row(elem_classes=["atelier-actions"]):
        user = _menu("User", "atelier_users_user")
        given = gr.Dropdown(
            label="Roles", choices=[], value=[], multiselect=True, elem_id="atelier_users_roles"
        )
        buttons["keep_user"] = gr.Button("Save user", variant="primary", elem_id="atelier_users_save")
        buttons["delete_user"] = gr.Button("Delete", elem_id="atelier_users_delete")
    roles = gr.HTML("", elem_id="atelier_roles")
    with gr.Row(elem_classes=["atelier-actions"]):
        role = _menu("Role", "atelier_roles_role")
        permissions = gr.Dropdown(
            label="Permissions",
            choices=_permissions(),
            value=[],
            multiselect=True,
            elem_id="atelier_roles_permissions",
        )
        buttons["keep_role"] = gr.Button("Save role", variant="primary", elem_id="atelier_roles_save")
        buttons["delete_role"] = gr.Button("Delete", elem_id="atelier_roles_delete")
    return Pane(account, message, told, content, users, roles, user, role, given, permissions), buttons


def _permissions() -> list[str]:
    from atelier_webui.contract.api.roles import PERMISSIONS

    return list(PERMISSIONS)


def _menu(label: str, elem_id: str) -> Any:
    return gr.Dropdown(
        label=f"{label} (choose one, or write a new name)",
        choices=[],
        value="",
        elem_id=elem_id,
        allow_custom_value=True,
    )


def _wire(desk: Desk, pane: Pane, buttons: dict[str, Any]) -> None:
    changes = [pane.told, *pane.shown]

    def changing(act: Callable[..., str]) -> Callable[..., list[Any]]:
        def changed(account: str, *values: Any) -> list[Any]:
            told = act(People(desk.client(account)), *values)
            return [words.note(told), *_listed(desk, account)]

        return telling(changed, len(changes))

    user, role = [pane.account, pane.user], [pane.account, pane.role]
    listen(buttons["keep_user"].click, changing(_keep_user), [*user, pane.given], changes)
    listen(buttons["keep_role"].click, changing(_keep_role), [*role, pane.permissions], changes)
    for name, act, chosen, question in (
        ("delete_user", _delete_user, user, "Delete the user {}, and revoke their tokens?"),
        ("delete_role", _delete_role, role, "Delete the role {}, and take it from its users?"),
    ):
        asked = [*chosen, gr.Textbox(visible=False)]
        listen(buttons[name].click, changing(act), asked, changes, js=confirming(question, 3))
    listen(pane.user.change, lambda *at: _roles_of(desk, *at), user, [pane.given])
    listen(pane.role.change, lambda *at: _permissions_of(desk, *at), role, [pane.permissions])


def _build_tokens(desk: Desk, pane: Pane) -> None:
    with gr.Accordion("Tokens of the chosen user", open=False, elem_id="atelier_tokens_of"):
        listed = gr.HTML(words.note("Show lists the user's tokens."), elem_id="atelier_tokens")
        with gr.Row(elem_classes=["atelier-actions"]):
            show = gr.Button("Show", elem_id="atelier_tokens_show")
            token = gr.Dropdown(
                label="Token", choices=[], value="", elem_id="atelier_tokens_chosen", allow_custom_value=True
            )
            revoke = gr.Button("Revoke", elem_id="atelier_tokens_revoke")
        with gr.Row(elem_classes=["atelier-actions"]):
            about = gr.Textbox(label="What it is for", elem_id="atelier_tokens_description")
            lasts = gr.Dropdown(
                label="Lasts", choices=list(DAYS), value="a month", elem_id="atelier_tokens_lasts"
            )
            make = gr.Button("Make a token", variant="primary", elem_id="atelier_tokens_make")
        secret = gr.Textbox(
            label="The new token, shown this once: copy it now",
            interactive=False,
            show_copy_button=True,
            elem_id="atelier_tokens_secret",
        )
    shown = [pane.told, listed, token, secret]
    whose = [pane.account, pane.user]
    listen(show.click, telling(lambda *at: _tokens(desk, "", *at), 4), whose, shown)
    listen(make.click, telling(lambda *at: _make_token(desk, *at), 4), [*whose, about, lasts], shown)
    listen(pane.user.change, lambda *_: _no_tokens(), whose, shown[1:])
    listen(
        revoke.click,
        telling(lambda *at: _revoke(desk, *at), 4),
        [*whose, token, gr.Textbox(visible=False)],
        shown,
        js=confirming("Revoke the token {}? Whoever uses it is locked out.", 4),
    )


def _refresh(desk: Desk, account: str) -> list[Any]:
    try:
        return [words.answered_of(account, REFRESH), *_listed(desk, account)]
    except Refusal as refusal:
        if refusal.status != 403 or "has no permissions" not in str(refusal):
            raise
        told, *hidden = _hidden(f"Users and roles are managed by others: {refusal}")
        return [told + words.answered_of(account, REFRESH), *hidden]


def _hidden(why: str) -> list[Any]:
    """Show nothing of what was there: it is another account's, or nobody's to see here."""
    menus = [gr.update(choices=[], value="") for _ in range(2)]
    return [words.note(why), gr.update(visible=False), "", "", *menus, gr.update(choices=[], value=[])]


def _listed(desk: Desk, account: str) -> list[Any]:
    people = People(desk.client(account))
    users, roles = people.users(), people.roles()
    names, known = [each.username for each in users], [each.role_name for each in roles]
    return [
        gr.update(visible=True),
        _users_table(users),
        _roles_table(roles),
        gr.update(choices=names),
        gr.update(choices=known),
        gr.update(choices=known),
    ]


def _users_table(users: Sequence[User]) -> str:
    rows = [(each.username, ", ".join(each.roles), each.creator) for each in users]
    return words.table("Users", ("Name", "Roles", "Made by"), rows, "There is no user yet.")


def _roles_table(roles: Sequence[Role]) -> str:
    rows = [(each.role_name, ", ".join(each.permissions), each.creator) for each in roles]
    return words.table("Roles", ("Name", "Permissions", "Made by"), rows, "There is no role yet.")


def _keep_user(people: People, name: str, roles: Sequence[str]) -> str:
    if not name or not roles:
        raise Problem("Choose a user, or write a new name, and give at least one role.")
    people.keep_user(name, roles)
    return f"{name} has the roles {', '.join(roles)}."


def _keep_role(people: People, name: str, permissions: Sequence[str]) -> str:
    if not name or not permissions:
        raise Problem("Choose a role, or write a new name, and give at least one permission.")
    people.keep_role(name, permissions)
    return f"The role {name} has the permissions {', '.join(permissions)}."


def _delete_user(people: People, name: str, sure: str) -> str:
    if sure != CONFIRMED or not name:
        return "Nothing was deleted."
    people.delete_users([name])
    return f"The user {name} is deleted."


def _delete_role(people: People, name: str, sure: str) -> str:
    if sure != CONFIRMED or not name:
        return "Nothing was deleted."
    people.delete_roles([name])
    return f"The role {name} is deleted."


def _roles_of(desk: Desk, account: str, name: str) -> Any:
    """Return the roles that a chosen user has; those of a new name are as they were written."""
    try:
        found = next((each for each in People(desk.client(account)).users() if each.username == name), None)
    except Problem:
        return gr.update()  # the list itself says what is wrong
    return gr.update(value=list(found.roles)) if found else gr.update()


def _permissions_of(desk: Desk, account: str, name: str) -> Any:
    try:
        found = next((each for each in People(desk.client(account)).roles() if each.role_name == name), None)
    except Problem:
        return gr.update()
    return gr.update(value=list(found.permissions)) if found else gr.update()


def _no_tokens() -> list[Any]:
    return [words.note("Show lists the user's tokens."), gr.update(choices=[], value=""), gr.update(value="")]


def _tokens(desk: Desk, told: str, account: str, user: str) -> list[Any]:
    """Return the tokens of a user, and no secret: one that was shown goes."""
    if not user:
        raise Problem("Choose a user first.")
    found = People(desk.client(account)).tokens(user)
    heads = ("Token", "What it is for", "Made (UTC)", "Lasts until")
    rows = [
        (each.id, each.description, words.when(each.created), words.when(each.expires) or "for ever")
        for each in found
    ]
    ids = [each.id for each in found]
    shown = words.table(f"Tokens of {user}", heads, rows, f"{user} has no token yet.")
    menu = gr.update(choices=ids, value=ids[0] if ids else "")
    return [words.note(told) if told else "", shown, menu, gr.update(value="")]


def _make_token(desk: Desk, account: str, user: str, about: str, lasts: str) -> list[Any]:
    if not user:
        raise Problem("Choose a user first.")
    made = People(desk.client(account)).make_token(user, description=about.strip(), days=DAYS[lasts])
    told = f"{user} has a new token: hand it over now, it is not shown again."
    return [*_tokens(desk, told, account, user)[:3], gr.update(value=made.secret)]


def _revoke(desk: Desk, account: str, user: str, token: str, sure: str) -> list[Any]:
    if sure != CONFIRMED or not token or not user:
        return [words.note("Nothing was revoked."), *(gr.update() for _ in range(3))]
    People(desk.client(account)).revoke_token(user, token)
    return _tokens(desk, "The token is revoked.", account, user)
