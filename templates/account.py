"""Account: what API Gateway needs to write logs, set once for the whole account and region."""

from __future__ import annotations

from troposphere import GetAtt, Sub, Template, apigateway, iam

from atelier.templates import parts

MAY_LOG = "iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"


def template() -> Template:
    """Render the stack that every stack with an API builds on."""
    t = parts.stack(__doc__ or "", parts.PREFIX)
    role = t.add_resource(logs_role())
    t.add_resource(logging(role))
    return parts.tagged(t, "account")


def logs_role() -> iam.Role:
    """Let API Gateway write logs, of other installations too: so it outlives this stack."""
    made = parts.role("ApiLogsRole", "apigateway.amazonaws.com")
    made.ManagedPolicyArns = [Sub(f"arn:${{AWS::Partition}}:{MAY_LOG}")]
    made.DeletionPolicy = made.UpdateReplacePolicy = "Retain"
    return made


def logging(role: iam.Role) -> apigateway.Account:
    """Name the role; there is one such setting, and the last stack that made it has it."""
    return apigateway.Account(
        "ApiAccount",
        CloudWatchRoleArn=GetAtt(role, "Arn"),
        DeletionPolicy="Retain",
        UpdateReplacePolicy="Retain",
    )
