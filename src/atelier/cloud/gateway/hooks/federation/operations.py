"""IAM's operations on providers of OpenID Connect, and the CloudFormation type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks.federation import providers
from atelier.cloud.gateway.hooks.federation.rejected import Rejected, element, written
from atelier.cloud.gateway.hooks.private import use
from atelier.cloud.gateway.hooks.server import Answer

TYPE = "AWS::IAM::OIDCProvider"
ARN = "OpenIDConnectProviderArn"

Parameters = Mapping[str, Any]
Operation = Callable[[Parameters], str | None]


def install() -> None:
    """Answer IAM's operations, where ministack checks nothing and lacks most."""
    use("services.iam", "_oidc_providers", checked=False)
    use("services.iam", "_error", "status", "code", "message", "ns")
    use("services.iam", "_xml", "status", "root_tag", "inner", "ns")
    use("services.iam", "_extract_tags", "p")
    use("core.responses", "get_account_id")
    handlers: dict[str, Any] = use("services.iam", "_IAM_HANDLERS", checked=False)
    for name, operation in OPERATIONS.items():
        handlers[name] = _answering(name, operation)


def _answering(name: str, operation: Operation) -> Callable[[Parameters], Answer]:
    def answer(parameters: Parameters) -> Answer:
        try:
            return written("iam", name, operation(parameters))
        except Rejected as rejected:
            return rejected.answer("iam")

    return answer


def text(parameters: Parameters, name: str) -> str:
    """Return a parameter that has to be given."""
    value = parameters.get(name, "")
    given = str(value[0] if isinstance(value, list) and value else value or "")
    if not given:
        raise Rejected("ValidationError", f"{name} is missing")
    return given


def texts(parameters: Parameters, name: str) -> list[str]:
    """Return a parameter that is a list."""
    found: list[str] = []
    while (key := f"{name}.member.{len(found) + 1}") in parameters:
        found.append(text(parameters, key))
    return found


def _tags(parameters: Parameters) -> dict[str, str]:
    listed = use("services.iam", "_extract_tags", checked=False)(parameters)
    return {str(each["Key"]): str(each["Value"]) for each in listed}


def _create(parameters: Parameters) -> str:
    account = use("core.responses", "get_account_id", checked=False)()
    lists = texts(parameters, "ClientIDList"), texts(parameters, "ThumbprintList")
    made = providers.create(account, text(parameters, "Url"), *lists, _tags(parameters))
    return element(ARN, made["Arn"]) + _written_tags(made)


def _get(parameters: Parameters) -> str:
    record = providers.get(text(parameters, ARN))
    lists = {key: "".join(element("member", each) for each in record[key]) for key in (CLIENTS, THUMBPRINTS)}
    return (
        element("Url", providers.name(record["Url"]))
        + "".join(f"<{key}>{members}</{key}>" for key, members in lists.items())
        + element("CreateDate", record["CreateDate"])
        + _written_tags(record)
    )


def _written_tags(record: providers.Record) -> str:
    members = (
        f"<member>{element('Key', key)}{element('Value', value)}</member>"
        for key, value in providers.tags_of(record).items()
    )
    return f"<Tags>{''.join(members)}</Tags>"


def _list(parameters: Parameters) -> str:
    members = "".join(f"<member>{element('Arn', each)}</member>" for each in providers.arns())
    return f"<OpenIDConnectProviderList>{members}</OpenIDConnectProviderList>"


def _delete(parameters: Parameters) -> None:
    providers.delete(text(parameters, ARN))


def _add_client(parameters: Parameters) -> None:
    arn = text(parameters, ARN)
    providers.change(arn, clients=[*providers.get(arn)[CLIENTS], text(parameters, "ClientID")])


def _remove_client(parameters: Parameters) -> None:
    arn, gone = text(parameters, ARN), text(parameters, "ClientID")
    providers.change(arn, clients=[each for each in providers.get(arn)[CLIENTS] if each != gone])


def _thumbprints(parameters: Parameters) -> None:
    providers.change(text(parameters, ARN), thumbprints=texts(parameters, THUMBPRINTS))


def _tag(parameters: Parameters) -> None:
    arn = text(parameters, ARN)
    providers.change(arn, tags={**providers.tags_of(providers.get(arn)), **_tags(parameters)})


def _untag(parameters: Parameters) -> None:
    arn, gone = text(parameters, ARN), texts(parameters, "TagKeys")
    kept = {key: value for key, value in providers.tags_of(providers.get(arn)).items() if key not in gone}
    providers.change(arn, tags=kept)


def _list_tags(parameters: Parameters) -> str:
    return _written_tags(providers.get(text(parameters, ARN))) + element("IsTruncated", "false")


CLIENTS, THUMBPRINTS = "ClientIDList", "ThumbprintList"
OPERATIONS: Mapping[str, Operation] = {
    "AddClientIDToOpenIDConnectProvider": _add_client,
    "CreateOpenIDConnectProvider": _create,
    "DeleteOpenIDConnectProvider": _delete,
    "GetOpenIDConnectProvider": _get,
    "ListOpenIDConnectProviders": _list,
    "ListOpenIDConnectProviderTags": _list_tags,
    "RemoveClientIDFromOpenIDConnectProvider": _remove_client,
    "TagOpenIDConnectProvider": _tag,
    "UntagOpenIDConnectProvider": _untag,
    "UpdateOpenIDConnectProviderThumbprint": _thumbprints,
}


def resource_create(_logical_id: str, properties: Parameters, _stack: str) -> tuple[str, dict[str, Any]]:
    """Let the account know the issuer that a template names."""
    if not properties.get("Url"):
        raise Refused(f"{TYPE} needs Url")
    account = use("core.responses", "get_account_id", checked=False)()
    try:
        made = providers.create(account, str(properties["Url"]), *_lists(properties), _declared(properties))
    except Rejected as rejected:
        raise Refused(str(rejected)) from rejected
    return made["Arn"], {"Arn": made["Arn"]}


def resource_update(
    physical_id: str, old: Parameters, new: Parameters, stack: str, logical_id: str = ""
) -> tuple[str, dict[str, Any]]:
    """Set anew what has changed; another URL is another provider."""
    if old.get("Url") != new.get("Url"):
        return resource_create(logical_id, new, stack)
    clients, thumbprints = _lists(new)
    try:
        providers.change(physical_id, clients=clients, thumbprints=thumbprints, tags=_declared(new))
    except Rejected as rejected:
        raise Refused(str(rejected)) from rejected
    return physical_id, {"Arn": physical_id}


def resource_delete(physical_id: str, _properties: object) -> None:
    """Forget the issuer, unless somebody did already."""
    if physical_id in providers.arns():
        providers.delete(physical_id)


def _lists(properties: Parameters) -> tuple[list[str], list[str]]:
    return [str(each) for each in properties.get("ClientIdList") or ()], [
        str(each) for each in properties.get(THUMBPRINTS) or ()
    ]


def _declared(properties: Parameters) -> dict[str, str]:
    return {str(each["Key"]): str(each["Value"]) for each in properties.get("Tags") or ()}
