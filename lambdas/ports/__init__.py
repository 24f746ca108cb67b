"""What services need of the world, one module per family; the training pipeline's ports are named here."""

from atelier.lambdas.ports.training import (
    Approvals,
    Artifacts,
    Endpoints,
    Flows,
    Prompts,
    Registry,
    Reports,
    Stacks,
    TrainingData,
)

__all__ = [
    "Approvals",
    "Artifacts",
    "Endpoints",
    "Flows",
    "Prompts",
    "Registry",
    "Reports",
    "Stacks",
    "TrainingData",
]
