"""The rendered stack of GitHub's roles, deployed: what a workflow's token opens, and what it does not."""

import json

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from stacks import trust
from token_issuer import Issuer, rsa_key, serving

from atelier import synth
from atelier.client.errors import Problem
from atelier.stacks import Stack, Stacks
from atelier.templates import github_oidc

REPOSITORY = "acme@1/models@2"
ON_MAIN = {"sub": f"repo:{REPOSITORY}:ref:refs/heads/main", "ref": "refs/heads/main"}
IN_DOCS = {"sub": f"repo:{REPOSITORY}:environment:docs", "ref": "refs/heads/main"}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    with serving(Issuer(rsa_key()), tmp_path_factory.mktemp("issuer")) as served:
        yield served


@pytest.fixture(scope="module")
def place(cloud):
    """What the stacks before it would have made: a bucket of pages and a repository of sources."""
    cloud.client("s3").create_bucket(Bucket="github-pages-of-acme")
    cloud.client("s3").create_bucket(Bucket="github-others-of-acme")
    cloud.client("codecommit").create_repository(repositoryName="github-acme-source")
    return {
        "Prefix": "acme",
        "SourceRepositoryName": "github-acme-source",
        "DocsBucketName": "github-pages-of-acme",
        "DocsDistributionId": "E1234567890ABC",
        "GithubRepository": REPOSITORY,
    }


def apply(cloud, name, template, parameters):
    stacks = Stacks(cloudformation=cloud.client("cloudformation"), progress=lambda event: None)
    return stacks.apply(Stack(name=name, template=template, parameters=parameters, tags={})).outputs


@pytest.fixture(scope="module")
def roles(cloud, issuer, place):
    """The roles' ARNs, for the tokens of an issuer that the account knows by its thumbprint."""
    iam = cloud.client("iam")
    provider = iam.create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=[issuer.thumbprint]
    )["OpenIDConnectProviderArn"]
    template = json.dumps(github_oidc.template(issuer.host).to_dict())
    yield apply(cloud, "acme-github", template, {**place, "GithubProviderArn": provider})
    cloud.client("cloudformation").delete_stack(StackName="acme-github")
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider)


@pytest.fixture(scope="module")
def taken(cloud, issuer, roles):
    """Take a role with a token that claims this; return clients by service, or None when it is refused."""
    sts = boto3.client(
        "sts",
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0}),
    )

    def take(role, **claims):
        try:
            made = sts.assume_role_with_web_identity(
                RoleArn=roles.get(role, role),
                RoleSessionName="run",
                WebIdentityToken=issuer.token(**claims),
                DurationSeconds=900,
            )["Credentials"]
        except ClientError as refused:
            assert "AccessDenied" == refused.response["Error"]["Code"]
            return None
        keys = made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]
        return lambda service: cloud.client_as(service, *keys)

    return take


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": f"repo:{REPOSITORY}:ref:refs/heads/feature", "ref": "refs/heads/feature"},
        {"sub": f"repo:{REPOSITORY}:pull_request", "ref": "refs/pull/7/merge"},
        {"sub": f"repo:{REPOSITORY}:ref:refs/tags/main", "ref": "refs/tags/main"},
        {"sub": "repo:acme@1/other@3:ref:refs/heads/main", "ref": "refs/heads/main"},
        {"sub": "repo:mallory@9/models@2:ref:refs/heads/main", "ref": "refs/heads/main"},
        {"sub": "repo:acme/models:ref:refs/heads/main", "ref": "refs/heads/main"},
        IN_DOCS,
    ],
)
def test_only_a_push_to_the_branch_of_the_repository_opens_the_pushing_role(taken, claims):
    assert taken("GithubPushRoleArn", **claims) is None


@pytest.mark.parametrize(
    "claims",
    [
        {**IN_DOCS, "sub": f"repo:{REPOSITORY}:environment:production"},
        {**IN_DOCS, "sub": "repo:acme@1/other@3:environment:docs"},
        {**IN_DOCS, "sub": "repo:mallory@9/models@10:environment:docs"},
        {**IN_DOCS, "sub": f"repo:{REPOSITORY}:environment:Docs"},
        {**IN_DOCS, "ref": "refs/heads/feature"},
        {**IN_DOCS, "ref": "refs/pull/7/merge"},
        {**IN_DOCS, "ref": None},
        {"sub": f"repo:{REPOSITORY}:pull_request", "ref": "refs/heads/main"},
        ON_MAIN,
    ],
)
def test_only_the_environment_on_the_branch_of_the_repository_opens_the_publishing_role(taken, claims):
    assert taken("GithubDocsRoleArn", **claims) is None


def test_the_publishing_role_changes_the_pages_and_nothing_else(taken):
    clients = taken("GithubDocsRoleArn", **IN_DOCS)
    s3 = clients("s3")

    s3.put_object(Bucket="github-pages-of-acme", Key="index.html", Body=b"read")
    assert ["index.html"] == [
        each["Key"] for each in s3.list_objects_v2(Bucket="github-pages-of-acme")["Contents"]
    ]
    s3.delete_object(Bucket="github-pages-of-acme", Key="index.html")
    for refused in (
        lambda: s3.put_object(Bucket="github-others-of-acme", Key="k", Body=b""),
        lambda: s3.delete_bucket(Bucket="github-pages-of-acme"),
        lambda: s3.put_bucket_policy(Bucket="github-pages-of-acme", Policy="{}"),
        lambda: clients("codepipeline").start_pipeline_execution(name="acme-training"),
        lambda: clients("iam").list_roles(),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            refused()


def test_the_pushing_role_starts_our_pipelines_and_nothing_else(taken):
    clients = taken("GithubPushRoleArn", **ON_MAIN)
    pipelines, source = clients("codepipeline"), clients("codecommit")

    assert (
        "github-acme-source"
        == (
            source.get_repository(repositoryName="github-acme-source")["repositoryMetadata"]["repositoryName"]
        )
    )
    with pytest.raises(ClientError, match="PipelineNotFoundException"):
        pipelines.start_pipeline_execution(name="acme-training")
    for refused in (
        lambda: pipelines.start_pipeline_execution(name="other-training"),
        lambda: pipelines.delete_pipeline(name="acme-training"),
        lambda: source.delete_repository(repositoryName="github-acme-source"),
        lambda: clients("s3").put_object(Bucket="github-pages-of-acme", Key="k", Body=b""),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            refused()


def test_the_stack_as_it_is_makes_githubs_provider_once_and_believes_no_other_issuer(cloud, place, taken):
    outputs = apply(cloud, "acme-github-oidc", synth.text("github-oidc"), place)
    try:
        provider = (
            f"arn:aws:iam::{outputs['GithubPushRoleArn'].split(':')[4]}:oidc-provider/{github_oidc.ISSUER}"
        )
        found = cloud.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=provider)
        assert (github_oidc.ISSUER, ["sts.amazonaws.com"]) == (found["Url"], found["ClientIDList"])
        assert taken(outputs["GithubPushRoleArn"], **ON_MAIN) is None
        with pytest.raises(Problem, match="already exists"):
            apply(cloud, "second-github-oidc", synth.text("github-oidc"), {**place, "Prefix": "second"})
        second = {**place, "Prefix": "second", "GithubProviderArn": provider}
        assert apply(cloud, "second-github-oidc", synth.text("github-oidc"), second)
    finally:
        for name in ("second-github-oidc", "acme-github-oidc"):
            cloud.client("cloudformation").delete_stack(StackName=name)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"GithubRepository": ""}, "GithubRepository says whom to trust"),
        ({"GithubRepository": "acme/*"}, "OWNER/NAME"),
        ({"GithubBranch": "*"}, "one branch"),
        ({"GithubEnvironment": "docs*"}, "one environment"),
    ],
)
def test_nobody_is_trusted_by_a_pattern_or_by_default(cloud, place, given, words, unique):
    with pytest.raises((Problem, ClientError), match=words):
        apply(cloud, unique, synth.text("github-oidc"), {**place, **given})


def test_a_role_for_a_service_opens_to_no_token(cloud, taken, unique):
    made = cloud.client("iam").create_role(
        RoleName=unique, AssumeRolePolicyDocument=json.dumps(trust("lambda.amazonaws.com"))
    )

    assert taken(made["Role"]["Arn"], **ON_MAIN) is None
