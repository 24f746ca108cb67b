"""Stacks on the running cloud: a failure with its cause, and the way back."""

import json

import pytest

from atelier.stacks import RolledBack, Stack, Stacks

BUCKET = {"Type": "AWS::S3::Bucket"}
BROKEN = {
    "Type": "AWS::CodeCommit::Repository",
    "Properties": {"RepositoryName": "not a name!"},
    "DependsOn": "Bucket",
}


def template(**resources):
    outputs = {"BucketName": {"Value": {"Ref": "Bucket"}}}
    return json.dumps({"Resources": {"Bucket": BUCKET, **resources}, "Outputs": outputs})


def buckets(cloud):
    return {each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]}


@pytest.fixture
def stacks(cloud):
    return Stacks(cloudformation=cloud.client("cloudformation"))


def test_a_stack_that_fails_names_the_cause_and_can_be_deployed_again(cloud, stacks, unique):
    before = buckets(cloud)

    with pytest.raises(RolledBack, match=r"Source \(AWS::CodeCommit::Repository\): .*not a name!"):
        stacks.apply(Stack(name=unique, template=template(Source=BROKEN)))
    assert before == buckets(cloud)

    outcome = stacks.apply(Stack(name=unique, template=template()))
    assert "created" == outcome.change
    assert outcome.outputs["BucketName"] in buckets(cloud)
    assert "unchanged" == stacks.apply(Stack(name=unique, template=template())).change


def test_an_update_that_fails_leaves_the_stack_as_it_was(cloud, stacks, unique):
    bucket = stacks.apply(Stack(name=unique, template=template())).outputs["BucketName"]

    with pytest.raises(RolledBack, match="Source"):
        stacks.apply(Stack(name=unique, template=template(Source=BROKEN)))

    assert bucket in buckets(cloud)
    assert "unchanged" == stacks.apply(Stack(name=unique, template=template())).change


def test_a_template_that_is_too_large_for_a_request_goes_through_a_bucket(cloud, unique):
    s3, name = cloud.client("s3"), f"{unique}-code"
    s3.create_bucket(Bucket=name)

    def upload(key, body):
        s3.put_object(Bucket=name, Key=key, Body=body)
        return f"{cloud.endpoint}/{name}/{key}"

    large = json.loads(template())
    large["Metadata"] = {"Filler": ["x" * 1000] * 60}
    stacks = Stacks(cloudformation=cloud.client("cloudformation"), upload=upload)

    assert "created" == stacks.apply(Stack(name=unique, template=json.dumps(large))).change


def test_what_was_set_stays_and_what_was_a_default_follows_it(stacks, unique):
    def said(outcome):
        return outcome.outputs["Steps"], outcome.outputs["Rate"]

    def counted(*, steps, rate):
        document = json.loads(template())
        document["Parameters"] = {
            "Steps": {"Type": "Number", "Default": steps},
            "Rate": {"Type": "String", "Default": rate},
        }
        tag = {"Key": "steps", "Value": {"Fn::Sub": "${Steps} ${Rate}"}}
        document["Resources"]["Bucket"] = {**BUCKET, "Properties": {"Tags": [tag]}}
        document["Outputs"].update(Steps={"Value": {"Ref": "Steps"}}, Rate={"Value": {"Ref": "Rate"}})
        return json.dumps(document)

    before, after = counted(steps=500, rate=""), counted(steps=700, rate="daily")
    stacks.apply(Stack(name=unique, template=before, parameters={"Steps": "10"}))

    assert ("10", "daily") == said(stacks.apply(Stack(name=unique, template=after)))
    again = stacks.apply(Stack(name=unique, template=after))
    assert ("unchanged", {"Steps": "10"}) == (again.change, again.kept)
    assert ("700", "daily") == said(stacks.apply(Stack(name=unique, template=after, keeps=False)))
