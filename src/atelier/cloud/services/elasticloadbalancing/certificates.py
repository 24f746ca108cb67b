"""TLS of listeners: certificates of Certificate Manager, by the security policies of load balancers."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services import acm
from atelier.cloud.services.wire import ServiceError

USUAL = "ELBSecurityPolicy-2016-08"
POLICIES: Mapping[str, ssl.TLSVersion] = {
    USUAL: ssl.TLSVersion.TLSv1_2,
    "ELBSecurityPolicy-TLS13-1-2-2021-06": ssl.TLSVersion.TLSv1_2,
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06": ssl.TLSVersion.TLSv1_2,
    "ELBSecurityPolicy-TLS13-1-3-2021-06": ssl.TLSVersion.TLSv1_3,
}
"""The oldest TLS that each policy takes here; what is older than 1.2 is not spoken whatever the policy."""


def context(cloud: Cloud, arn: str, policy: str) -> ssl.SSLContext:
    """Return how an HTTPS listener speaks TLS; raise ServiceError when it has nothing to show."""
    if policy not in POLICIES:
        raise ServiceError("SSLPolicyNotFound", f"the policy '{policy}' is not part of the local cloud")
    record = acm.certificates(cloud).get(arn)
    if record is None:
        raise ServiceError("CertificateNotFound", f"Certificate '{arn}' not found")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = POLICIES[policy]
    made.set_alpn_protocols(["http/1.1"])
    load(made, f"{record['Certificate']}\n{record['Chain']}", record["PrivateKey"])
    return made


def load(into: ssl.SSLContext, chain: str, key: str) -> None:
    """Give a context its certificate and key; ssl reads them from files, which nobody else can."""
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        file = Path(folder) / "certificate.pem"
        file.write_text(f"{key}\n{chain}", encoding="ascii")
        try:
            into.load_cert_chain(file)
        except ssl.SSLError as error:
            raise Refused(f"the certificate and its key do not fit: {error.reason}") from error
