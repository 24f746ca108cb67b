"""What ministack's provisioners leave out, added through the same functions its APIs run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks.private import use
from atelier.cloud.gateway.hooks.templates import distributions

Properties = Mapping[str, Any]
After = Callable[[str, Properties], None]


def used() -> None:
    """Check at start what this module calls later."""
    for name in ("encryption", "lifecycle", "ownership_controls", "tagging", "versioning"):
        use("services.s3", f"_put_bucket_{name}", "name", "body")
        if name != "versioning":
            use("services.s3", f"_delete_bucket_{name}", "name")
    for name in ("_update_ttl", "_update_continuous_backups", "_update_table"):
        use("services.dynamodb", name, "data")
    use("services.apigateway_v1", "_create_request_validator", "api_id", "data")
    use("services.apigateway_v1", "_update_request_validator", "api_id", "validator_id", "data")
    use("services.apigateway_v1", "_delete_request_validator", "api_id", "validator_id")
    use("services.apigateway_v1", "_update_rest_api", "api_id", "data")
    use("services.lambda_svc", "_put_function_concurrency", "func_name", "data")


def is_true(value: Any) -> bool:
    """Read a boolean as CloudFormation passes it."""
    return str(value).lower() == "true"


def _run(module: str, name: str, *arguments: Any) -> Any:
    """Call one API function of ministack; raise Refused with what it answers."""
    status, _, body = use(f"services.{module}", name, checked=False)(*arguments)
    text = body.decode() if isinstance(body, bytes) else str(body)
    if status >= 400:
        raise Refused(text)
    return json.loads(text) if text.startswith("{") else text


def bucket(name: str, properties: Properties) -> None:
    """Apply encryption, lifecycle, ownership, tags and suspended versioning."""
    versioning = (properties.get("VersioningConfiguration") or {}).get("Status", "Suspended")
    record = use("services.s3", "_bucket_versioning", checked=False)
    if versioning == "Enabled" or name in record:
        status = f"<VersioningConfiguration><Status>{escape(versioning)}</Status></VersioningConfiguration>"
        _run("s3", "_put_bucket_versioning", name, status.encode())
    for key, operation, render in (
        ("BucketEncryption", "encryption", _encryption),
        ("LifecycleConfiguration", "lifecycle", _lifecycle),
        ("OwnershipControls", "ownership_controls", _ownership),
        ("Tags", "tagging", _tags),
    ):
        if properties.get(key):
            _run("s3", f"_put_bucket_{operation}", name, render(properties[key]).encode())
        else:
            _run("s3", f"_delete_bucket_{operation}", name)


def _tag(name: str, *content: str) -> str:
    return f"<{name}>{''.join(content)}</{name}>"


def _fields(source: Mapping[str, Any], **names: str) -> str:
    """Render the members of *source* that are there, in the order of *names* (XML name = property)."""
    return "".join(_tag(xml, escape(str(source[name]))) for xml, name in names.items() if name in source)


def _encryption(value: Any) -> str:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        default = rule.get("ServerSideEncryptionByDefault") or {}
        named = _fields(default, SSEAlgorithm="SSEAlgorithm", KMSMasterKeyID="KMSMasterKeyID")
        key = (
            _tag("BucketKeyEnabled", str(rule["BucketKeyEnabled"]).lower())
            if "BucketKeyEnabled" in rule
            else ""
        )
        rules.append(_tag("Rule", _tag("ApplyServerSideEncryptionByDefault", named), key))
    return _tag("ServerSideEncryptionConfiguration", *rules)


def _ownership(value: Any) -> str:
    rules = [_tag("Rule", _fields(rule, ObjectOwnership="ObjectOwnership")) for rule in value["Rules"]]
    return _tag("OwnershipControls", *rules)


def _tags(value: Any) -> str:
    return _tag(
        "Tagging", _tag("TagSet", *(_tag("Tag", _fields(each, Key="Key", Value="Value")) for each in value))
    )


LIFECYCLE_RULE = frozenset(
    {
        *("Id", "Status", "Prefix", "ExpirationInDays", "ExpirationDate", "ExpiredObjectDeleteMarker"),
        *(
            "NoncurrentVersionExpiration",
            "NoncurrentVersionExpirationInDays",
            "AbortIncompleteMultipartUpload",
        ),
    }
)


def _lifecycle(value: Any) -> str:
    return _tag("LifecycleConfiguration", *(_lifecycle_rule(rule) for rule in value["Rules"]))


def _lifecycle_rule(rule: Mapping[str, Any]) -> str:
    if unknown := sorted(rule.keys() - LIFECYCLE_RULE):
        raise Refused(f"Unsupported: AWS::S3::Bucket.LifecycleConfiguration.Rules.{unknown[0]}")
    expiration = _fields(
        rule,
        Days="ExpirationInDays",
        Date="ExpirationDate",
        ExpiredObjectDeleteMarker="ExpiredObjectDeleteMarker",
    )
    noncurrent = rule.get("NoncurrentVersionExpiration") or (
        {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
        if "NoncurrentVersionExpirationInDays" in rule
        else {}
    )
    old = _fields(
        noncurrent, NoncurrentDays="NoncurrentDays", NewerNoncurrentVersions="NewerNoncurrentVersions"
    )
    abort = _fields(
        rule.get("AbortIncompleteMultipartUpload") or {}, DaysAfterInitiation="DaysAfterInitiation"
    )
    return _tag(
        "Rule",
        _fields(rule, ID="Id"),
        _tag("Filter", _tag("Prefix", escape(str(rule.get("Prefix", ""))))),
        _fields(rule, Status="Status"),
        _tag("Expiration", expiration) if expiration else "",
        _tag("NoncurrentVersionExpiration", old) if old else "",
        _tag("AbortIncompleteMultipartUpload", abort) if abort else "",
    )


def table(name: str, properties: Properties) -> None:
    """Apply time to live, point-in-time recovery and encryption."""
    live = properties.get("TimeToLiveSpecification")
    if live:
        enabled = is_true(live.get("Enabled", True))
        asked = {"AttributeName": live.get("AttributeName", ""), "Enabled": enabled}
        _run("dynamodb", "_update_ttl", {"TableName": name, "TimeToLiveSpecification": asked})
    recovery = properties.get("PointInTimeRecoverySpecification") or {}
    on = {"PointInTimeRecoveryEnabled": is_true(recovery.get("PointInTimeRecoveryEnabled", False))}
    _run(
        "dynamodb", "_update_continuous_backups", {"TableName": name, "PointInTimeRecoverySpecification": on}
    )
    if secret := properties.get("SSESpecification"):
        asked = {**secret, "Enabled": is_true(secret.get("SSEEnabled", False))}
        asked.pop("SSEEnabled", None)
        _run("dynamodb", "_update_table", {"TableName": name, "SSESpecification": asked})


def role(name: str, properties: Properties) -> None:
    """Apply the permissions boundary."""
    record = use("services.iam", "_roles", checked=False)[name]
    if boundary := properties.get("PermissionsBoundary"):
        record["PermissionsBoundary"] = boundary
    else:
        record.pop("PermissionsBoundary", None)


def function(name: str, properties: Properties) -> None:
    """Apply reserved concurrency and the dead-letter queue; refuse a function without code."""
    record = use("services.lambda_svc", "_functions", checked=False)[name]
    if not record.get("code_zip"):
        code = properties.get("Code") or {}
        place = f"s3://{code.get('S3Bucket')}/{code.get('S3Key')}"
        raise Refused(f"Error occurred while GetObject. S3 Error Code: NoSuchKey. There is no {place}")
    reserved = properties.get("ReservedConcurrentExecutions")
    record["concurrency"] = None
    if reserved is not None:
        asked = {"ReservedConcurrentExecutions": int(reserved)}
        _run("lambda_svc", "_put_function_concurrency", name, asked)
    record["config"]["DeadLetterConfig"] = properties.get("DeadLetterConfig") or {}


def event_source(uuid: str, properties: Properties) -> None:
    """Apply the tags."""
    record = use("services.lambda_svc", "_esms", checked=False)[uuid]
    record["Tags"] = {each["Key"]: each["Value"] for each in properties.get("Tags") or ()}


def rest_api(api_id: str, properties: Properties) -> None:
    """Apply the source of API keys and the endpoint's types."""
    source = properties.get("ApiKeySourceType", "HEADER")
    changes = [{"op": "replace", "path": "/apiKeySource", "value": source}]
    _run("apigateway_v1", "_update_rest_api", api_id, {"patchOperations": changes})
    types = (properties.get("EndpointConfiguration") or {}).get("Types", ["REGIONAL"])
    use("services.apigateway_v1", "_rest_apis", checked=False)[api_id]["endpointConfiguration"] = {
        "types": types
    }


def method(_physical_id: str, properties: Properties) -> None:
    """Apply the request validator."""
    resources = use("services.apigateway_v1", "_resources", checked=False)
    resource = resources[properties["RestApiId"]][properties["ResourceId"]]
    made = resource["resourceMethods"][properties.get("HttpMethod", "ANY")]
    made["requestValidatorId"] = properties.get("RequestValidatorId")


def stage(_physical_id: str, properties: Properties) -> None:
    """Apply where the access log goes, and say that nothing is traced."""
    stages = use("services.apigateway_v1", "_stages_v1", checked=False)
    record = stages[properties["RestApiId"]][properties["StageName"]]
    record["tracingEnabled"] = is_true(properties.get("TracingEnabled", False))
    if asked := properties.get("AccessLogSetting"):
        record["accessLogSettings"] = {"destinationArn": asked["DestinationArn"], "format": asked["Format"]}
    else:
        record.pop("accessLogSettings", None)


def state_machine(arn: str, properties: Properties) -> None:
    """Apply the logging settings as the API names them."""
    record = use("services.stepfunctions", "_state_machines", checked=False)[arn]
    logging = properties.get("LoggingConfiguration") or {}
    groups = [
        {"cloudWatchLogsLogGroup": {"logGroupArn": each["CloudWatchLogsLogGroup"]["LogGroupArn"]}}
        for each in logging.get("Destinations") or ()
    ]
    record["loggingConfiguration"] = {
        "level": logging.get("Level", "OFF"),
        "includeExecutionData": is_true(logging.get("IncludeExecutionData", False)),
        "destinations": groups,
    }


AFTER: Mapping[str, After] = {
    **distributions.AFTER,
    "AWS::ApiGateway::Method": method,
    "AWS::ApiGateway::RestApi": rest_api,
    "AWS::ApiGateway::Stage": stage,
    "AWS::DynamoDB::Table": table,
    "AWS::IAM::Role": role,
    "AWS::Lambda::EventSourceMapping": event_source,
    "AWS::Lambda::Function": function,
    "AWS::S3::Bucket": bucket,
    "AWS::StepFunctions::StateMachine": state_machine,
}


def validator_create(_logical_id: str, properties: Properties, _stack: str) -> tuple[str, dict[str, Any]]:
    """Make a request validator, which ministack only pretends to."""
    made = _run("apigateway_v1", "_create_request_validator", properties["RestApiId"], _validator(properties))
    return made["id"], {"RequestValidatorId": made["id"]}


def validator_update(
    physical_id: str, old: Properties, new: Properties, stack: str
) -> tuple[str, dict[str, Any]]:
    """Change its flags in place; a new API or name is a replacement."""
    if any(old.get(key) != new.get(key) for key in ("RestApiId", "Name")):
        return validator_create("", new, stack)
    changes = [{"op": "replace", "path": f"/{key}", "value": value} for key, value in _validator(new).items()]
    _run(
        "apigateway_v1",
        "_update_request_validator",
        new["RestApiId"],
        physical_id,
        {"patchOperations": changes},
    )
    return physical_id, {"RequestValidatorId": physical_id}


def validator_delete(physical_id: str, properties: Properties) -> None:
    """Delete it, unless its API went first."""
    apis = use("services.apigateway_v1", "_rest_apis", checked=False)
    if properties["RestApiId"] in apis:
        _run("apigateway_v1", "_delete_request_validator", properties["RestApiId"], physical_id)


def _validator(properties: Properties) -> dict[str, Any]:
    return {
        "name": properties.get("Name", ""),
        "validateRequestBody": is_true(properties.get("ValidateRequestBody", False)),
        "validateRequestParameters": is_true(properties.get("ValidateRequestParameters", False)),
    }
