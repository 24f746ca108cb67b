"""Listeners: the ports of load balancers, in plain or TLS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing import actions, certificates, live, places
from atelier.cloud.services.elasticloadbalancing.load_balancers import forget_listener
from atelier.cloud.services.elasticloadbalancing.service import (
    SERVICE,
    balancer,
    invalid,
    listener,
    listeners,
    new_id,
    on,
    page,
    unsupported,
)
from atelier.cloud.services.elasticloadbalancing.tags import plain
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

SETTINGS = ("Port", "Protocol", "SslPolicy", "Certificates", "DefaultActions")


@SERVICE.operation("CreateListener", on=on("LoadBalancerArn"))
def create(cloud: Cloud, request: Document) -> Document:
    """Open a port."""
    unsupported(request, (*SETTINGS, "LoadBalancerArn", "Tags"), "CreateListener")
    owner = balancer(cloud, request["LoadBalancerArn"])
    arn = f"{owner['Arn'].replace(':loadbalancer/', ':listener/')}/{new_id()}"
    record = {
        "Arn": arn,
        "LoadBalancerArn": owner["Arn"],
        **_settings(cloud, request, {}),
        "Tags": plain(request.get("Tags", ())),
    }
    with listeners(cloud).lock:
        _open(cloud, owner, record)
        listeners(cloud).put(arn, record)
    live.of(cloud).refresh()
    return {"Listeners": [_shown(record)]}


@SERVICE.operation("ModifyListener", on=on("ListenerArn"))
def modify(cloud: Cloud, request: Document) -> Document:
    """Change a listener; connections that are open stay so."""
    unsupported(request, (*SETTINGS, "ListenerArn"), "ModifyListener")
    with listeners(cloud).lock:
        before = listener(cloud, request["ListenerArn"])
        record = {**before, **_settings(cloud, request, before)}
        _open(cloud, balancer(cloud, before["LoadBalancerArn"]), record)
        listeners(cloud).put(before["Arn"], record)
    live.of(cloud).refresh()
    return {"Listeners": [_shown(record)]}


@SERVICE.operation("DeleteListener", on=on("ListenerArn"))
def delete(cloud: Cloud, request: Document) -> None:
    """Close a port, and forget its rules."""
    listener(cloud, request["ListenerArn"])
    forget_listener(cloud, request["ListenerArn"])
    live.of(cloud).refresh()


@SERVICE.operation("DescribeListeners", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List the listeners of a load balancer, or those that are asked for."""
    unsupported(request, ("LoadBalancerArn", "ListenerArns", "Marker", "PageSize"), "DescribeListeners")
    if arns := request.get("ListenerArns"):
        rows = [listener(cloud, each) for each in arns]
    elif arn := request.get("LoadBalancerArn"):
        balancer(cloud, arn)
        rows = [each for _, each in listeners(cloud).items() if each["LoadBalancerArn"] == arn]
    else:
        raise ServiceError("ValidationError", "You must specify either listener ARNs or a load balancer ARN")
    shown, marker = page(rows, request)
    return {"Listeners": [_shown(each) for each in shown], "NextMarker": marker}


@SERVICE.operation("DescribeListenerCertificates", on=on("ListenerArn"))
def describe_certificates(cloud: Cloud, request: Document) -> Document:
    """List a listener's certificates: the default one."""
    arns = listener(cloud, request["ListenerArn"])["Certificates"]
    return {"Certificates": [{"CertificateArn": each, "IsDefault": True} for each in arns]}


def _settings(cloud: Cloud, request: Mapping[str, Any], before: Mapping[str, Any]) -> Record:
    given = {name: request[name] for name in SETTINGS if name in request}
    if "Certificates" in given:
        given["Certificates"] = [each["CertificateArn"] for each in given["Certificates"]]
    if "DefaultActions" in given:
        given["DefaultActions"] = actions.checked(cloud, given["DefaultActions"])
    settings = {"Certificates": [], "SslPolicy": None, **{name: before.get(name) for name in before}, **given}
    settings = {name: settings.get(name) for name in SETTINGS}
    if settings["Protocol"] == "HTTP" and "Protocol" in given:  # nothing is left of what was for TLS
        settings["Certificates"] = given.get("Certificates") or []
        settings["SslPolicy"] = given.get("SslPolicy")
    if settings["Port"] is None or settings["Protocol"] is None:
        raise ServiceError("ValidationError", "A listener needs a port and a protocol")
    return _secured(cloud, settings)


def _secured(cloud: Cloud, settings: Record) -> Record:
    if settings["Protocol"] == "HTTP":
        if settings["Certificates"] or settings["SslPolicy"]:
            raise invalid("A certificate or security policy is for HTTPS listeners only")
        return settings
    if settings["Protocol"] != "HTTPS":
        raise ServiceError("UnsupportedProtocol", f"{settings['Protocol']} is not HTTP or HTTPS")
    if len(settings["Certificates"]) != 1:
        raise ServiceError("CertificateNotFound", "An HTTPS listener needs one certificate")
    settings["SslPolicy"] = settings["SslPolicy"] or certificates.USUAL
    certificates.context(cloud, settings["Certificates"][0], settings["SslPolicy"])
    return settings


def _open(cloud: Cloud, owner: Record, record: Record) -> None:
    """Open the port that a listener is about to have; raise ServiceError for one that is taken."""
    place, form = places.of(owner, record), record["Protocol"]
    for arn, each in listeners(cloud).items():
        if arn == record["Arn"] or each["LoadBalancerArn"] != owner["Arn"]:
            continue
        if each["Port"] == record["Port"]:
            raise ServiceError("DuplicateListener", f"A listener on port {each['Port']} exists already")
        if places.of(owner, each) == place and each["Protocol"] == form:
            raise invalid(
                f"port {record['Port']} cannot be opened beside port {each['Port']}: no ports below"
                f" {places.RESERVED} may be opened here, and one {form} listener stands for all of them"
            )
    live.of(cloud).reserve(place)


def _shown(record: Record) -> Document:
    secure = record["Protocol"] == "HTTPS"
    return {
        "ListenerArn": record["Arn"],
        "LoadBalancerArn": record["LoadBalancerArn"],
        "Port": record["Port"],
        "Protocol": record["Protocol"],
        "Certificates": [{"CertificateArn": each} for each in record["Certificates"]] if secure else None,
        "SslPolicy": record["SslPolicy"],
        "DefaultActions": actions.shown(record["DefaultActions"]),
    }
