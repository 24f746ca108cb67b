"""Stacks that tests deploy into the local cloud."""

import json
import time

from botocore.exceptions import ClientError


def trust(service):
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def eventually(look):
    """Return what is seen in the end."""
    for _ in range(300):
        if found := look():
            return found
        time.sleep(0.1)
    raise TimeoutError


class Stacks:
    """Stacks of one test."""

    def __init__(self, cloudformation, name):
        self.cloudformation, self.name, self.made = cloudformation, name, False

    def __call__(self, resources, outputs=None):
        """Create or update the stack; return its outputs, or the first failure's words."""
        body = {"Resources": resources, "Outputs": {k: {"Value": v} for k, v in (outputs or {}).items()}}
        verb = self.cloudformation.update_stack if self.made else self.cloudformation.create_stack
        verb(StackName=self.name, TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_NAMED_IAM"])
        self.made = True
        stack = self.settled()
        if not stack["StackStatus"].endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE")):
            return self.first_failure()
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}

    def settled(self):
        for _ in range(600):
            stack = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                return stack
            time.sleep(0.05)
        raise TimeoutError(self.name)

    def first_failure(self):
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        failed = [each for each in reversed(events) if each["ResourceStatus"].endswith("FAILED")]
        return failed[0]["ResourceStatusReason"]

    def delete(self):
        self.cloudformation.delete_stack(StackName=self.name)
        try:
            return self.settled()["StackStatus"]
        except ClientError:
            return "DELETE_COMPLETE"


def a_function(unique, **more):
    return {
        "R": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": trust("lambda.amazonaws.com")},
        },
        "F": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                **{"FunctionName": unique, "Runtime": "python3.12", "Handler": "index.handler"},
                **{"Role": {"Fn::GetAtt": ["R", "Arn"]}},
                **{"Code": {"ZipFile": "def handler(event, context): return event"}},
                **more,
            },
        },
    }
