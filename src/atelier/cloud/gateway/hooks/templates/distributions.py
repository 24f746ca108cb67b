"""Distributions that really do what their templates say; all else of CloudFront is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks import state
from atelier.cloud.gateway.hooks.edge.cache import POLICIES
from atelier.cloud.gateway.hooks.private import use

CLOUDFRONT = "services.cloudfront"
DISTRIBUTION = "AWS::CloudFront::Distribution"
ACCESS = "AWS::CloudFront::OriginAccessControl"
HEADERS = "AWS::CloudFront::ResponseHeadersPolicy"

Properties = Mapping[str, Any]

CONFIG = "Comment CustomErrorResponses DefaultCacheBehavior DefaultRootObject Enabled HttpVersion IPV6Enabled"
CONFIG += " Origins PriceClass ViewerCertificate"
ORIGIN = "DomainName Id OriginAccessControlId OriginPath S3OriginConfig"
BEHAVIOR = "AllowedMethods CachePolicyId CachedMethods Compress ResponseHeadersPolicyId TargetOriginId"
BEHAVIOR += " ViewerProtocolPolicy"
ERROR = "ErrorCachingMinTTL ErrorCode ResponseCode ResponsePagePath"


def used() -> None:
    """Check at start what this module calls later."""
    use(CLOUDFRONT, "_s3_origin_bucket", "domain_name")
    for name in ("_oacs", "_response_headers_policies"):
        use(CLOUDFRONT, name, checked=False)


def _only(kind: str, given: Properties, words: str) -> None:
    if unknown := sorted(given.keys() - set(words.split())):
        raise Refused(f"Unsupported: {kind}.{unknown[0]} is not part of the local cloud")


def _needs(kind: str, given: Properties, *names: str) -> None:
    if missing := [name for name in names if given.get(name) in (None, "", [])]:
        raise Refused(f"{kind} needs {', '.join(missing)}")


def distribution(properties: Properties) -> None:
    """Refuse a distribution that would not be served here, or not as it says."""
    config = properties.get("DistributionConfig") or {}
    kind = f"{DISTRIBUTION}.DistributionConfig"
    _only(kind, config, CONFIG)
    _needs(kind, config, "DefaultCacheBehavior", "Origins", "Enabled")
    _only(f"{kind}.ViewerCertificate", config.get("ViewerCertificate") or {}, "CloudFrontDefaultCertificate")
    for origin in config["Origins"]:
        _origin(f"{kind}.Origins", origin)
    _behavior(f"{kind}.DefaultCacheBehavior", config["DefaultCacheBehavior"], config["Origins"])
    for error in config.get("CustomErrorResponses") or ():
        _only(f"{kind}.CustomErrorResponses", error, ERROR)
        _needs(f"{kind}.CustomErrorResponses", error, "ErrorCode", "ResponseCode", "ResponsePagePath")


def _origin(kind: str, origin: Properties) -> None:
    _only(kind, origin, ORIGIN)
    _needs(kind, origin, "Id", "DomainName")
    if use(CLOUDFRONT, "_s3_origin_bucket", checked=False)(origin["DomainName"]) is None:
        raise Refused(f"Unsupported: {kind}.DomainName {origin['DomainName']} is no bucket of S3")
    if (origin.get("S3OriginConfig") or {}).get("OriginAccessIdentity"):
        raise Refused(
            f"Unsupported: {kind}.S3OriginConfig.OriginAccessIdentity is not part of the local cloud"
        )
    control = origin.get("OriginAccessControlId")
    if control and control not in use(CLOUDFRONT, "_oacs", checked=False):
        raise Refused(f"The specified origin access control does not exist: {control}")


def _behavior(kind: str, behavior: Properties, origins: Iterable[Properties]) -> None:
    _only(kind, behavior, BEHAVIOR)
    _needs(kind, behavior, "TargetOriginId", "ViewerProtocolPolicy", "CachePolicyId")
    if behavior["TargetOriginId"] not in {each["Id"] for each in origins}:
        raise Refused(f"{kind}: there is no origin {behavior['TargetOriginId']}")
    if behavior["CachePolicyId"] not in POLICIES:
        raise Refused(
            f"Unsupported: {kind}.CachePolicyId {behavior['CachePolicyId']}: only CloudFront's own are"
        )
    policy = behavior.get("ResponseHeadersPolicyId")
    if policy and policy not in use(CLOUDFRONT, "_response_headers_policies", checked=False):
        raise Refused(f"The specified response headers policy does not exist: {policy}")


def access_control(properties: Properties) -> None:
    """Refuse an access control that is not S3's."""
    config = properties.get("OriginAccessControlConfig") or {}
    kind = f"{ACCESS}.OriginAccessControlConfig"
    _needs(kind, config, "Name", "OriginAccessControlOriginType", "SigningBehavior", "SigningProtocol")
    for name, values in {
        "OriginAccessControlOriginType": ("s3",),
        "SigningBehavior": ("always", "never", "no-override"),
        "SigningProtocol": ("sigv4",),
    }.items():
        if config[name] not in values:
            raise Refused(f"Unsupported: {kind}.{name} {config[name]} is not part of the local cloud")


def headers_policy(properties: Properties) -> None:
    """Refuse what ministack would leave out of an answer."""
    config = properties.get("ResponseHeadersPolicyConfig") or {}
    kind = f"{HEADERS}.ResponseHeadersPolicyConfig"
    _only(
        kind, config, "Comment CorsConfig CustomHeadersConfig Name RemoveHeadersConfig SecurityHeadersConfig"
    )
    _needs(kind, config, "Name")


BEFORE: Mapping[str, Callable[[Properties], None]] = {
    DISTRIBUTION: distribution,
    ACCESS: access_control,
    HEADERS: headers_policy,
}


def _saved(_physical_id: str, _properties: Properties) -> None:
    """Have CloudFront's state saved soon: a stack may be done before it is looked at as a whole."""
    state.changed("cloudfront")


AFTER: Mapping[str, Callable[[str, Properties], None]] = dict.fromkeys(BEFORE, _saved)


def own_names(handlers: Mapping[str, dict[str, Any]]) -> None:
    """Refuse a second thing of a name, where ministack would give out the first once more."""
    for kind, store, config in (
        (ACCESS, "_oacs", "OriginAccessControlConfig"),
        (HEADERS, "_response_headers_policies", "ResponseHeadersPolicyConfig"),
    ):
        handlers[kind]["create"] = _unless_taken(handlers[kind]["create"], kind, store, config)


def _unless_taken(create: Callable[..., Any], kind: str, store: str, config: str) -> Callable[..., Any]:
    def checked(logical_id: str, properties: Properties, stack: str) -> Any:
        name = properties[config]["Name"]
        taken = use(CLOUDFRONT, store, checked=False).values()
        if any(name == (each.get("Name") or each.get("Config", {}).get("Name")) for each in taken):
            raise Refused(f"{kind}: there is one of the name {name} already")
        return create(logical_id, properties, stack)

    return checked
