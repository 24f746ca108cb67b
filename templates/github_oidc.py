"""GitHub: what its workflows may do here, by tokens of their own and with no key that is kept anywhere."""

from __future__ import annotations

from typing import Any

from troposphere import Equals, GetAtt, If, Not, Output, Parameter, Ref, Sub, Template, iam

from atelier.templates import parts
from atelier.templates.parts import Statement, Text, allow, arn, bucket_arn, objects

ISSUER = "token.actions.githubusercontent.com"
"""Who signs GitHub's tokens. An authority that AWS knows vouches for it, so no thumbprint is kept."""

AUDIENCE = "sts.amazonaws.com"
SESSION_SECONDS = 3600  # IAM lets a role say no less; the workflows ask for a quarter of it
PIPELINES = ("${Prefix}-training", "${Prefix}-webui")
FOLLOWED = "refs/heads/main"
"""What the pipelines follow in the CodeCommit repository."""

REPOSITORY = Parameter(
    "GithubRepository",
    Type="String",
    Default="",
    AllowedPattern=r"([A-Za-z0-9][A-Za-z0-9-]*(@[0-9]+)?/[A-Za-z0-9._-]+(@[0-9]+)?)?",
    ConstraintDescription="OWNER/NAME, or OWNER@ID/NAME@ID where the repository's tokens hold ids",
    Description="The repository as its tokens name it: OWNER@ID/NAME@ID for one made since July 2026.",
)
BRANCH = Parameter(
    "GithubBranch",
    Type="String",
    Default="main",
    AllowedPattern=r"[A-Za-z0-9][A-Za-z0-9._/-]*",
    ConstraintDescription="the name of one branch, with no pattern in it",
    Description="The branch whose workflows may push the source and publish the documentation.",
)
ENVIRONMENT = Parameter(
    "GithubEnvironment",
    Type="String",
    Default="docs",
    AllowedPattern=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    ConstraintDescription="the name of one environment, with no pattern in it",
    Description="The repository's environment that publishes the documentation.",
)
PROVIDER = Parameter(
    "GithubProviderArn",
    Type="String",
    Default="",
    AllowedPattern=r"(arn:[a-z-]+:iam::[0-9]{12}:oidc-provider/.+)?",
    ConstraintDescription="the ARN of a provider of OpenID Connect, or nothing",
    Description="The provider of GitHub's tokens, if the account has one: it can have no second.",
)
SOURCE_REPOSITORY = Parameter(
    "SourceRepositoryName", Type="String", Description="The CodeCommit repository of the source."
)
DOCS_BUCKET = Parameter("DocsBucketName", Type="String", Description="The bucket of the documentation.")
DISTRIBUTION = Parameter(
    "DocsDistributionId", Type="String", Description="The distribution of the documentation."
)
MAKES_PROVIDER = "MakesProvider"


def template(issuer: str = ISSUER) -> Template:
    """Render the stack for the tokens of one issuer: GitHub's, or a GitHub server's of one's own."""
    given = (parts.PREFIX, SOURCE_REPOSITORY, DOCS_BUCKET, DISTRIBUTION)
    t = parts.stack(__doc__ or "", *given, REPOSITORY, BRANCH, ENVIRONMENT, PROVIDER)
    t.add_rule("RepositoryIsNamed", named())
    t.add_condition(MAKES_PROVIDER, Equals(Ref(PROVIDER), ""))
    provider = If(MAKES_PROVIDER, Ref(t.add_resource(known(issuer))), Ref(PROVIDER))
    docs = trusting(
        provider, issuer, "environment:${GithubEnvironment}", ref=Sub("refs/heads/${GithubBranch}")
    )
    push = trusting(provider, issuer, "ref:refs/heads/${GithubBranch}")
    roles = [
        t.add_resource(role("GithubDocs", docs, publishes())),
        t.add_resource(role("GithubPush", push, pushes())),
    ]
    for each in roles:
        t.add_output(Output(f"{each.title}RoleArn", Value=GetAtt(each, "Arn")))
    return parts.tagged(t, "github-oidc")


def named() -> dict[str, Any]:
    """Refuse to trust a repository that nobody has named."""
    words = "GithubRepository says whom to trust: set it to OWNER/NAME, or OWNER@ID/NAME@ID"
    return {"Assertions": [{"Assert": Not(Equals(Ref(REPOSITORY), "")), "AssertDescription": words}]}


def known(issuer: str) -> iam.OIDCProvider:
    """Let the account know who signs the tokens, and that they must be meant for AWS."""
    return iam.OIDCProvider(
        "Provider", Url=f"https://{issuer}", ClientIdList=[AUDIENCE], Condition=MAKES_PROVIDER
    )


def trusting(provider: Text, issuer: str, context: str, **claims: Text) -> Statement:
    """Trust the tokens of one repository in one *context*, the end of their subject; word for word."""
    asked = {"aud": AUDIENCE, "sub": Sub(f"repo:${{GithubRepository}}:{context}"), **claims}
    return {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{issuer}:{name}": value for name, value in asked.items()}},
    }


def role(title: str, trust: Statement, work: list[Statement]) -> iam.Role:
    """Return a role that tokens open, for as short as IAM lets a role say."""
    return iam.Role(
        title,
        AssumeRolePolicyDocument={"Version": parts.VERSION, "Statement": [trust]},
        MaxSessionDuration=SESSION_SECONDS,
        Policies=[
            iam.Policy(PolicyName="Work", PolicyDocument={"Version": parts.VERSION, "Statement": work})
        ],
    )


def publishes() -> list[Statement]:
    """Allow to bring the documentation's bucket up to date, and to let its readers see that."""
    distribution = Sub(
        "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${DocsDistributionId}"
    )
    return [
        allow(["cloudformation:DescribeStacks"], arn("cloudformation", "stack/${Prefix}-docs-site/*")),
        allow(["s3:ListBucket"], bucket_arn(DOCS_BUCKET)),
        allow(["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], *objects(DOCS_BUCKET)),
        allow(["cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"], distribution),
    ]


def pushes() -> list[Statement]:
    """Allow to push to the branch that the pipelines follow, and to start them by hand."""
    source = arn("codecommit", "${SourceRepositoryName}")
    follow = ("GetPipeline", "GetPipelineExecution", "ListActionExecutions", "ListPipelineExecutions")
    pipelines = [arn("codepipeline", each) for each in PIPELINES]
    return [
        allow(["codecommit:GetBranch", "codecommit:GetRepository", "codecommit:GitPull"], source),
        allow(
            ["codecommit:GitPush"],
            source,
            StringEqualsIfExists={"codecommit:References": [FOLLOWED]},  # git's first words name no branch
        ),
        allow([f"codepipeline:{each}" for each in (*follow, "StartPipelineExecution")], *pipelines),
    ]
