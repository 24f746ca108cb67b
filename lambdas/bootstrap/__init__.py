"""Wiring: settings to adapters to ports, once per cold start, one module per family of functions."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

PATIENCE = Config(connect_timeout=5, read_timeout=25, retries={"mode": "standard", "total_max_attempts": 2})
"""For a caller who waits: API Gateway answers 504 after 29 seconds."""

LONG = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 5})
"""For jobs that nobody waits for."""


def client(service: str, **more: Any) -> Any:
    """Return a client of an AWS service; which one it speaks to is the environment's business."""
    return boto3.client(service, **more)  # type: ignore[call-overload]
