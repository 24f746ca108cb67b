"""GitHub's roles: each opens to one repository in one context, word for word, and to nothing else."""

import json
import re

import pytest

from atelier import deploy, synth
from atelier.pipelines import rules, training, webui
from atelier.templates import github_oidc


@pytest.fixture(scope="module")
def rendered():
    return json.loads(synth.text("github-oidc"))


def roles(rendered):
    return {
        title: each["Properties"]
        for title, each in rendered["Resources"].items()
        if each["Type"] == "AWS::IAM::Role"
    }


def trust(rendered, role):
    (statement,) = roles(rendered)[role]["AssumeRolePolicyDocument"]["Statement"]
    return statement


def test_the_provider_is_githubs_own_and_its_tokens_are_meant_for_aws(rendered):
    provider = rendered["Resources"]["Provider"]["Properties"]

    assert "https://token.actions.githubusercontent.com" == provider["Url"]
    assert ["sts.amazonaws.com"] == provider["ClientIdList"]


@pytest.mark.parametrize(
    ("role", "context"),
    [
        ("GithubDocs", "environment:${GithubEnvironment}"),
        ("GithubPush", "ref:refs/heads/${GithubBranch}"),
    ],
)
def test_a_role_asks_for_audience_and_subject_word_for_word(rendered, role, context):
    statement = trust(rendered, role)

    assert ["StringEquals"] == list(statement["Condition"])
    asked = statement["Condition"]["StringEquals"]
    assert "sts.amazonaws.com" == asked["token.actions.githubusercontent.com:aud"]
    assert {"Fn::Sub": f"repo:${{GithubRepository}}:{context}"} == asked[
        "token.actions.githubusercontent.com:sub"
    ]
    assert "sts:AssumeRoleWithWebIdentity" == statement["Action"]
    assert ["Federated"] == list(statement["Principal"])


def test_an_environment_alone_opens_nothing_the_branch_is_asked_too(rendered):
    asked = trust(rendered, "GithubDocs")["Condition"]["StringEquals"]

    assert {"Fn::Sub": "refs/heads/${GithubBranch}"} == asked["token.actions.githubusercontent.com:ref"]


def test_sessions_are_as_short_as_iam_lets_a_role_say(rendered):
    assert {3600} == {each["MaxSessionDuration"] for each in roles(rendered).values()}


def test_no_role_may_use_a_wildcard_action_or_touch_everything(rendered):
    for each in roles(rendered).values():
        for statement in each["Policies"][0]["PolicyDocument"]["Statement"]:
            assert [] == [action for action in statement["Action"] if "*" in action]
            assert "*" not in statement["Resource"]


def test_the_branch_that_may_be_pushed_is_the_one_that_the_pipelines_follow(rendered):
    statements = roles(rendered)["GithubPush"]["Policies"][0]["PolicyDocument"]["Statement"]
    (push,) = [each for each in statements if "codecommit:GitPush" in each["Action"]]

    expected = {"StringEqualsIfExists": {"codecommit:References": [f"refs/heads/{rules.BRANCH}"]}}
    assert expected == push["Condition"]


def test_the_pipelines_that_may_be_started_are_those_that_there_are():
    names = [
        each.Name.data["Fn::Sub"]
        for template in (training.template(), webui.template())
        for each in template.resources.values()
        if each.resource_type == "AWS::CodePipeline::Pipeline"
    ]

    assert sorted(names) == sorted(github_oidc.PIPELINES)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "GithubRepository",
            ["acme/models", "acme@1/models@22", "a-b/c.d_e", ""],
            ["acme/*", "*/models", "acme", "acme/models:x", "acme/mo?els", "acme/models/more", "a@x/b@1"],
        ),
        ("GithubBranch", ["main", "release/1.2"], ["*", "main*", "", "-x", "ma?n"]),
        ("GithubEnvironment", ["docs", "github-pages"], ["*", "docs*", "", "a:b"]),
        (
            "GithubProviderArn",
            ["", "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"],
            ["arn:aws:iam::123456789012:role/x", "token.actions.githubusercontent.com"],
        ),
    ],
)
def test_a_parameter_takes_no_pattern_that_would_open_a_role_to_others(rendered, name, good, bad):
    pattern = re.compile(rendered["Parameters"][name]["AllowedPattern"])

    assert good == [each for each in good if pattern.fullmatch(each)]
    assert [] == [each for each in bad if pattern.fullmatch(each)]


def test_a_repository_has_to_be_named(rendered):
    (assertion,) = rendered["Rules"]["RepositoryIsNamed"]["Assertions"]

    assert {"Fn::Not": [{"Fn::Equals": [{"Ref": "GithubRepository"}, ""]}]} == assertion["Assert"]


def test_the_part_is_not_among_all_for_it_trusts_somebody_outside():
    assert "github-oidc" in deploy.PARTS["github"]
    assert "github-oidc" not in deploy.PARTS["all"]
