"""The parameter that names the fleet's model, in SSM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.contract.documents import Invalid, dump, load
from atelier.contract.fleet import Model
from atelier.lambdas.adapters import faults

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

SERVICE = "Systems Manager"
MISSING = frozenset({"ParameterNotFound", "ParameterVersionNotFound"})
NOBODY = "{}"


class SsmModel:
    """A model, as JSON."""

    def __init__(self, client: SSMClient, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, version: int | None = None) -> Model | None:
        """Return a version, or the newest; None where there is none that can be read."""
        name = self._name if version is None else f"{self._name}:{version}"
        try:
            with faults.patience(SERVICE):
                found = self._client.get_parameter(Name=name)
            return load(Model, found["Parameter"]["Value"])
        except Invalid:
            return None
        except ClientError as error:
            if faults.code(error) in MISSING:
                return None
            raise

    def put(self, model: Model) -> int:
        """Write a new version and return its number."""
        return self._write(dump(model))

    def clear(self) -> None:
        """Write a version that names no model.

        A parameter that is deleted cannot be made again at once, and would count its versions anew.
        """
        self._write(NOBODY)

    def _write(self, value: str) -> int:
        with faults.patience(SERVICE):
            answer = self._client.put_parameter(Name=self._name, Value=value, Type="String", Overwrite=True)
        return answer["Version"]
