"""Handing a role to a service: what every service asks before it takes one."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.wire import ServiceError


def pass_role(cloud: Cloud, role_arn: str, service: str) -> None:
    """Raise ServiceError when the caller may not pass the role to *service* (``sagemaker.amazonaws.com``)."""
    caller, keys = cloud.identity.caller(), {"iam:PassedToService": service}
    if not cloud.identity.allows(caller, "iam:PassRole", role_arn, **keys):
        message = f"User: {caller.arn} is not authorized to perform: iam:PassRole on resource: {role_arn}"
        raise ServiceError("AccessDeniedException", message)
