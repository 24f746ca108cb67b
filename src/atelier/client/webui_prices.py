"""What a workstation costs by the hour, said before one is launched."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

SOURCE = "https://aws.amazon.com/ec2/pricing/on-demand/"
LISTED = "on demand in us-east-1, as listed in November 2026"
VOLUME = "volumes cost about $0.08 per GB and month more, also while it is stopped"

HOURLY: Mapping[str, Decimal] = MappingProxyType(
    {
        name: Decimal(price)
        for name, price in {
            "t3.small": "0.0208",
            "t3.medium": "0.0416",
            "t3.large": "0.0832",
            "t3.xlarge": "0.1664",
            "t3.2xlarge": "0.3328",
            "m5.large": "0.096",
            "m5.xlarge": "0.192",
            "g4dn.xlarge": "0.526",
            "g4dn.2xlarge": "0.752",
            "g5.xlarge": "1.006",
            "g5.2xlarge": "1.212",
            "g6.xlarge": "0.8048",
            "g6.2xlarge": "0.9776",
        }.items()
    }
)
"""US dollars an hour, Linux."""


def hourly(instance_type: str) -> Decimal | None:
    """Return what an hour costs, or nothing when it is not listed here."""
    return HOURLY.get(instance_type)


def told(instance_type: str) -> str:
    """Say what it costs, or where that is said."""
    price = hourly(instance_type)
    if price is None:
        return f"{instance_type}: its price is not known here; see {SOURCE}"
    return f"{instance_type}: ${price} an hour ({LISTED}; {SOURCE}); {VOLUME}"
