"""Stacks, in CloudFormation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.lambdas.adapters import faults
from atelier.lambdas.domain.training import Stack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3Client

NO_CHANGE = "No updates are to be performed"
CONSEQUENCE = "cancelled"


class CloudFormationStacks:
    """Stacks whose templates lie in the code bucket, made by CloudFormation with a role of its own."""

    def __init__(
        self,
        client: CloudFormationClient,
        s3: S3Client,
        *,
        bucket: str,
        role_arn: str,
        tags: Mapping[str, str],
    ) -> None:
        self._client = client
        self._s3 = s3
        self._bucket = bucket
        self._role_arn = role_arn
        self._tags = tags

    def get(self, name: str) -> Stack | None:
        """Return the stack, if there is one."""
        try:
            (found,) = self._client.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if faults.is_missing(error):
                return None
            raise
        status = found["StackStatus"]
        broken = "ROLLBACK" in status or status.endswith("FAILED")
        return Stack(
            name=name,
            status=status,
            outputs={each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
            reason=self._cause(found["StackId"]) if broken else "",
        )

    def apply(self, name: str, template_key: str, parameters: Mapping[str, str]) -> bool:
        """Begin to create or update a stack; False when there is nothing to change."""
        with closing(self._s3.get_object(Bucket=self._bucket, Key=template_key)["Body"]) as body:
            template = body.read().decode()
        change = self._client.update_stack if self.get(name) else self._client.create_stack
        try:
            change(
                StackName=name,
                TemplateBody=template,
                Parameters=[
                    {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
                ],
                Capabilities=["CAPABILITY_IAM"],
                RoleARN=self._role_arn,
                Tags=[{"Key": key, "Value": value} for key, value in self._tags.items()],
            )
        except ClientError as error:
            if NO_CHANGE in faults.text(error):
                return False
            raise
        return True

    def delete(self, name: str) -> None:
        """Begin to delete a stack."""
        self._client.delete_stack(StackName=name, RoleARN=self._role_arn)

    def _cause(self, stack_id: str) -> str:
        """Return the first failure of the last change; those after it are consequences."""
        cause = ""
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
            for event in page["StackEvents"]:  # the newest first
                reason = event.get("ResourceStatusReason", "")
                if event["ResourceStatus"].endswith("_FAILED") and CONSEQUENCE not in reason:
                    cause = f"{event['LogicalResourceId']}: {reason}"
                begun = event["ResourceStatus"] in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}
                if begun and event.get("PhysicalResourceId") == stack_id:
                    return cause
        return cause
