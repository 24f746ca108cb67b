"""Certificate Manager, of imported certificates: what HTTPS listeners show.

Nobody here can prove to own a domain, so certificates are not requested but imported.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from atelier.cloud.context import Cloud
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.wire import Document, Service, ServiceError, everything
from atelier.cloud.store import Record, Table

SERVICE = Service("acm", actions="acm")
USED_BY = "elasticloadbalancing.listeners"
PUBLIC = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def certificates(cloud: Cloud) -> Table:
    """Return the certificates by ARN, with their keys: the file is its owner's only."""
    return cloud.store.table("acm.certificates")


def _on(_cloud: Cloud, request: Document) -> str:
    return str(request["CertificateArn"])


def _on_import(_cloud: Cloud, request: Document) -> str:
    return str(request.get("CertificateArn", "*"))


@SERVICE.operation("ImportCertificate", on=_on_import)
def import_certificate(cloud: Cloud, request: Document) -> Document:
    """Keep a certificate with its chain and key; with an ARN, in the place of the one that is there."""
    arn = request.get("CertificateArn")
    if arn is not None:
        _found(cloud, arn)
    record: Record = {
        "Arn": arn or cloud.arn("acm", f"certificate/{uuid.uuid4()}"),
        "Certificate": _pem(request, "Certificate"),
        "Chain": _pem(request, "CertificateChain") if "CertificateChain" in request else "",
        "PrivateKey": _pem(request, "PrivateKey"),
        "ImportedAt": datetime.now(UTC).isoformat(),
        "Tags": {each["Key"]: each.get("Value", "") for each in request.get("Tags", ())},
    }
    _check(record)
    certificates(cloud).put(record["Arn"], record)
    return {"CertificateArn": record["Arn"]}


@SERVICE.operation("DescribeCertificate", on=_on)
def describe(cloud: Cloud, request: Document) -> Document:
    """Tell what a certificate says."""
    record = _found(cloud, request["CertificateArn"])
    read = x509.load_pem_x509_certificate(record["Certificate"].encode())
    names = _names(read)
    is_over = read.not_valid_after_utc < datetime.now(UTC)
    return {
        "Certificate": {
            "CertificateArn": record["Arn"],
            "DomainName": names[0],
            "SubjectAlternativeNames": names,
            "Serial": f"{read.serial_number:x}",
            "Subject": read.subject.rfc4514_string(),
            "Issuer": read.issuer.rfc4514_string(),
            "ImportedAt": record["ImportedAt"],
            "Status": "EXPIRED" if is_over else "ISSUED",
            "NotBefore": read.not_valid_before_utc,
            "NotAfter": read.not_valid_after_utc,
            "KeyAlgorithm": _algorithm(read.public_key()),
            "Type": "IMPORTED",
            "InUseBy": _users(cloud, record["Arn"]),
            "RenewalEligibility": "INELIGIBLE",
        }
    }


@SERVICE.operation("GetCertificate", on=_on)
def get(cloud: Cloud, request: Document) -> Document:
    """Return a certificate and its chain; never its key."""
    record = _found(cloud, request["CertificateArn"])
    return {"Certificate": record["Certificate"], "CertificateChain": record["Chain"] or None}


@SERVICE.operation("ListCertificates", on=everything)
def listed(cloud: Cloud, request: Document) -> Document:
    """List certificates."""
    if odd := sorted(request.keys() - {"MaxItems", "NextToken"}):
        raise ServiceError("ValidationException", f"ListCertificates.{odd[0]} is not part of the local cloud")
    rows = [
        {"CertificateArn": arn, "DomainName": _names(_read(record))[0]}
        for arn, record in certificates(cloud).items()
    ]
    first = int(request.get("NextToken") or 0)
    last = first + request.get("MaxItems", 1000)
    return {
        "CertificateSummaryList": rows[first:last],
        "NextToken": str(last) if last < len(rows) else None,
    }


@SERVICE.operation("DeleteCertificate", on=_on)
def delete(cloud: Cloud, request: Document) -> None:
    """Forget a certificate that no listener shows."""
    arn = _found(cloud, request["CertificateArn"])["Arn"]
    if users := _users(cloud, arn):
        raise ServiceError("ResourceInUseException", f"Certificate {arn} is in use by {users[0]}")
    certificates(cloud).delete(arn)


@SERVICE.operation("ListTagsForCertificate", on=_on)
def tags(cloud: Cloud, request: Document) -> Document:
    """List a certificate's tags."""
    kept = _found(cloud, request["CertificateArn"])["Tags"]
    return {"Tags": [{"Key": key, "Value": kept[key]} for key in sorted(kept)]}


def _found(cloud: Cloud, arn: str) -> Record:
    record = certificates(cloud).get(arn)
    if record is None:
        raise ServiceError("ResourceNotFoundException", f"Could not find certificate {arn}.")
    return record


def _users(cloud: Cloud, arn: str) -> list[str]:
    listeners = cloud.store.table(USED_BY).items()
    return sorted({each["LoadBalancerArn"] for _, each in listeners if arn in each["Certificates"]})


def _pem(request: Mapping[str, Any], name: str) -> str:
    try:
        return base64.b64decode(request[name], validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ServiceError("ValidationException", f"The {name} is not PEM in base64") from error


def _read(record: Mapping[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(record["Certificate"].encode())


def _check(record: Mapping[str, Any]) -> None:
    """Raise ServiceError unless the certificate, its chain and its key are whole, and fit."""
    try:
        read = _read(record)
        if record["Chain"]:
            x509.load_pem_x509_certificates(record["Chain"].encode())
        key = serialization.load_pem_private_key(record["PrivateKey"].encode(), password=None)
    except (ValueError, TypeError) as error:
        message = "The certificate, its chain or its key cannot be read: unencrypted PEM is wanted"
        raise ServiceError("ValidationException", message) from error
    if key.public_key().public_bytes(*PUBLIC) != read.public_key().public_bytes(*PUBLIC):
        raise ServiceError("ValidationException", "The private key is not that of the certificate")
    if read.not_valid_after_utc < datetime.now(UTC):
        raise ServiceError("ValidationException", "The certificate is expired")


def _names(read: x509.Certificate) -> list[str]:
    try:
        alternative = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names: list[str] = []
    else:
        names = list(alternative.get_values_for_type(x509.DNSName))
        names += [str(each) for each in alternative.get_values_for_type(x509.IPAddress)]
    common = [str(each.value) for each in read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return list(dict.fromkeys([*common[:1], *names])) or ["-"]


def _algorithm(key: PublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA_{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "EC_prime256v1"}.get(key.curve.name, f"EC_{key.curve.name}")
    raise ServiceError("ValidationException", "Only RSA and elliptic curve keys are part of the local cloud")


PLUGIN = Plugin(scope="acm", service=SERVICE)
