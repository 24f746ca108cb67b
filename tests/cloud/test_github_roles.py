"""The rendered stack of GitHub's roles, deployed: what a workflow's token opens, and what it does not."""

import json
import os

import boto3
import git
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from click.testing import CliRunner
from stacks import trust
from token_issuer import Issuer, rsa_key, serving

from atelier import synth
from atelier.cli.main import cli
from atelier.client import session
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


def apply(cloud, name, template, parameters):
    stacks = Stacks(cloudformation=cloud.client("cloudformation"), progress=lambda event: None)
    return stacks.apply(Stack(name=name, template=template, parameters=parameters, tags={})).outputs


@pytest.fixture(scope="module")
def place(cloud):
    """What the stacks before it make: a bucket and a distribution of pages, a repository of sources."""
    docs = apply(cloud, "acme-docs-site", synth.text("docs-site"), {"Prefix": "acme"})
    cloud.client("s3").create_bucket(Bucket="github-others-of-acme")
    cloud.client("codecommit").create_repository(repositoryName="github-acme-source")
    yield {
        **docs,
        "Prefix": "acme",
        "SourceRepositoryName": "github-acme-source",
        "GithubRepository": REPOSITORY,
    }
    cloud.client("cloudformation").delete_stack(StackName="acme-docs-site")


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


def test_the_publishing_role_changes_the_pages_and_nothing_else(taken, place):
    pages = place["DocsBucketName"]
    clients = taken("GithubDocsRoleArn", **IN_DOCS)
    s3 = clients("s3")

    s3.put_object(Bucket=pages, Key="index.html", Body=b"read")
    assert ["index.html"] == [each["Key"] for each in s3.list_objects_v2(Bucket=pages)["Contents"]]
    s3.delete_object(Bucket=pages, Key="index.html")
    for refused in (
        lambda: s3.put_object(Bucket="github-others-of-acme", Key="k", Body=b""),
        lambda: s3.delete_bucket(Bucket=pages),
        lambda: s3.put_bucket_policy(Bucket=pages, Policy="{}"),
        lambda: clients("codepipeline").start_pipeline_execution(name="acme-training"),
        lambda: clients("iam").list_roles(),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            refused()


def test_the_pushing_role_starts_our_pipelines_and_nothing_else(taken, place):
    pages = place["DocsBucketName"]
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
        lambda: clients("s3").put_object(Bucket=pages, Key="k", Body=b""),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            refused()


@pytest.fixture(scope="module")
def pipeline(cloud, place):
    """A pipeline by the name that the role may push to; a person would decide on what it brings."""
    trusted = json.dumps(trust("codepipeline.amazonaws.com"))
    made = cloud.client("iam").create_role(RoleName="acme-pipeline", AssumeRolePolicyDocument=trusted)

    def stage(name, category, provider, **configuration):
        kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
        made = [{"name": "Code"}] if category == "Source" else []
        action = {"name": name, "actionTypeId": kind, "configuration": configuration, "outputArtifacts": made}
        return {"name": name, "actions": [action]}

    follows = {"RepositoryName": "github-acme-source", "BranchName": "main", "PollForSourceChanges": "false"}
    cloud.client("codepipeline").create_pipeline(
        pipeline={
            "name": "acme-training",
            "pipelineType": "V2",
            "roleArn": made["Role"]["Arn"],
            "artifactStore": {"type": "S3", "location": "github-others-of-acme"},
            "stages": [
                stage("Source", "Source", "CodeCommit", **follows),
                stage("Approve", "Approval", "Manual"),
            ],
        }
    )
    yield "acme-training"
    cloud.client("codepipeline").delete_pipeline(name="acme-training")


@pytest.fixture
def runner(cloud, issuer, tmp_path, monkeypatch):
    """Run a command as a runner does: with a role's name and a token in a file, and with no key."""
    work = tmp_path / "work"
    with git.Repo.init(work, initial_branch="main") as repository:
        (work / "file.txt").write_text("text")
        repository.index.add(["file.txt"])
        somebody = git.Actor("Tester", "tester@example.invalid")
        repository.index.commit("Write text", author=somebody, committer=somebody)

    def run(role, *words, **claims):
        (tmp_path / "token").write_text(issuer.token(**claims))
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ROLE_ARN": role,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(work)
        return CliRunner().invoke(cli, words, obj=session.here())

    return run


def test_a_runner_pushes_with_its_token_alone_and_another_repositorys_runner_does_not(
    cloud, roles, pipeline, runner
):
    push = roles["GithubPushRoleArn"], "pipeline", "push", pipeline, "--json"
    branch = {"repositoryName": "github-acme-source", "branchName": "main"}

    refused = runner(*push, **{**ON_MAIN, "sub": "repo:mallory@9/models@10:ref:refs/heads/main"})
    with pytest.raises(ClientError, match="BranchDoesNotExist"):
        cloud.client("codecommit").get_branch(**branch)
    pushed = runner(*push, **ON_MAIN)

    assert 0 != refused.exit_code
    assert "Not authorized to perform sts:AssumeRoleWithWebIdentity" in refused.stderr
    assert 0 == pushed.exit_code, pushed.output
    found = cloud.client("codecommit").get_branch(**branch)["branch"]["commitId"]
    assert found == json.loads(pushed.stdout)["after"]


def test_a_runner_publishes_pages_with_its_token_alone_and_takes_them_back(
    cloud, roles, place, runner, tmp_path
):
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<p>read</p>")
    (site / "old.html").write_text("<p>gone soon</p>")
    publish = roles["GithubDocsRoleArn"], "docs", "publish", "--site", str(site), "--prefix", "acme", "--json"

    def kept():
        found = cloud.client("s3").list_objects_v2(Bucket=place["DocsBucketName"])
        return {each["Key"] for each in found.get("Contents", ()) if each["Key"].endswith(".html")}

    on_feature = runner(*publish, **{**IN_DOCS, "ref": "refs/heads/feature"})
    assert (True, set()) == (on_feature.exit_code != 0, kept())
    first = runner(*publish, **IN_DOCS)
    assert (0, {"index.html", "old.html"}) == (first.exit_code, kept()), first.output
    (site / "old.html").unlink()
    second = runner(*publish, **IN_DOCS)
    assert (0, {"index.html"}) == (second.exit_code, kept()), second.output


def test_a_runner_starts_a_pipeline_with_its_token_alone(cloud, roles, pipeline, runner):
    before = cloud.client("codepipeline").list_pipeline_executions(pipelineName=pipeline)

    started = runner(roles["GithubPushRoleArn"], "pipeline", "start", pipeline, "--json", **ON_MAIN)

    assert 0 == started.exit_code, started.output
    after = cloud.client("codepipeline").list_pipeline_executions(pipelineName=pipeline)
    (new,) = {each["pipelineExecutionId"] for each in after["pipelineExecutionSummaries"]} - {
        each["pipelineExecutionId"] for each in before["pipelineExecutionSummaries"]
    }
    assert new == json.loads(started.stdout)["execution_id"]


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
