"""The operations on roles."""

from __future__ import annotations

from atelier.contract.api.roles import Role, Roles
from atelier.lambdas.bootstrap import accounts as wiring
from atelier.lambdas.handlers.callers import callers
from atelier.lambdas.handlers.http import Answer, Api, Call
from atelier.lambdas.services.middleware import roles

api = Api(callers)
handle = api.handle


@api.operation("ListRoles")
def list_roles(call: Call) -> Answer:
    """List every role, or the one that is asked for."""
    found = roles.listed(call.query["role"], accounts=wiring.access().accounts)
    return Answer(
        200,
        Roles(
            roles=tuple(
                Role(role_name=each.name, creator=each.creator, permissions=tuple(sorted(each.permissions)))
                for each in found
            ),
            last_evaluated_key=None,
        ),
    )


@api.operation("CreateRole")
def create_role(call: Call) -> Answer:
    """Make a role, or change what it allows."""
    roles.save(
        call.body.role_name, call.body.permissions, caller=call.caller, accounts=wiring.access().accounts
    )
    return Answer(201, message="role created")


@api.operation("DeleteRoles")
def delete_roles(call: Call) -> Answer:
    """Delete roles, and take them from their users."""
    roles.delete(call.body.role_name_list, accounts=wiring.access().accounts)
    return Answer(204)
