"""The values that the functions work with, one module per family; the training pipeline's are named here."""

from atelier.lambdas.domain.training import (
    FOLLOWS,
    Approval,
    Endpoint,
    Flow,
    ModelVersion,
    Stack,
    Status,
    Step,
)

__all__ = ["FOLLOWS", "Approval", "Endpoint", "Flow", "ModelVersion", "Stack", "Status", "Step"]
