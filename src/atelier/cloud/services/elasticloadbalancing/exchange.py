"""One request through a load balancer, as metrics and access logs need it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

GONE = 460
"""What is logged for a client that went away."""


@dataclass(eq=False)
class Exchange:
    """What came in, who worked on it, and what went out."""

    balancer: str
    kind: str
    """``http``, or ``https``."""
    client: str
    request: str
    agent: str
    trace: str
    domain: str = "-"
    cipher: str = "-"
    protocol: str = "-"
    certificate: str = "-"
    began: float = field(default_factory=time.time)
    group: str = ""
    target: str = "-"
    priority: int | None = None
    action: str = "-"
    redirect: str = "-"
    status: int = 0
    """What the client got; 460 when it went away before."""
    target_status: int | None = None
    reached: float = -1.0
    """Seconds until the request was on its way to a target."""
    worked: float = -1.0
    """Seconds until the target began to answer."""
    ended: float = 0.0
    """Seconds until all was over."""
    received: int = 0
    sent: int = 0
    error: str = "-"

    def since(self) -> float:
        """Return the seconds that have passed since the request came."""
        return time.time() - self.began
