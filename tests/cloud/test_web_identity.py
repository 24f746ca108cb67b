"""Taking a role with a token: only what its issuer signed, for us, for now, and as the role's trust says."""

import base64
import json
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from token_issuer import Issuer, public, rsa_key, serving

AUDIENCE = "sts.amazonaws.com"
MAIN = "repo:acme@1/models@2:ref:refs/heads/main"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    with serving(Issuer(rsa_key()), tmp_path_factory.mktemp("issuer")) as served:
        yield served


@pytest.fixture(autouse=True)
def usual(issuer):
    """Each test begins with an issuer that does what it should."""
    issuer.published, issuer.documents = [public(issuer.key)], {}
    issuer.asked.clear()


@pytest.fixture(scope="module")
def provider(cloud, issuer):
    """The provider that knows the issuer."""
    iam = cloud.client("iam")
    arn = iam.create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=[AUDIENCE], ThumbprintList=[issuer.thumbprint]
    )["OpenIDConnectProviderArn"]
    yield arn
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


@pytest.fixture
def trusted(cloud, issuer, provider, unique):
    """Make a role that trusts the pushes to main; it may list the streams of one log group."""

    def make(**changes):
        asked = {f"{issuer.host}:aud": AUDIENCE, f"{issuer.host}:sub": MAIN, **changes.pop("asked", {})}
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": changes.pop("federated", provider)},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": asked},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        made = cloud.client("iam").create_role(RoleName=unique, AssumeRolePolicyDocument=document, **changes)
        return made["Role"]["Arn"]

    return make


@pytest.fixture(scope="module")
def sts(cloud):
    """STS as a runner sees it, which has a token and no key."""
    return boto3.client(
        "sts",
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0}, parameter_validation=False),
    )


def assume(sts, role, token, **more):
    return sts.assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="run-7", WebIdentityToken=token, **more
    )


def refusal(sts, role, token, **more):
    """The code and the words of a refusal."""
    with pytest.raises(ClientError) as refused:
        assume(sts, role, token, **more)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_token_of_a_push_to_main_is_good_for_the_role_that_trusts_it(cloud, sts, issuer, trusted):
    role = trusted()

    answer = assume(sts, role, issuer.token(), DurationSeconds=900)

    made = answer["Credentials"]
    keys = made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]
    caller = cloud.client_as("sts", *keys).get_caller_identity()
    assert f"assumed-role/{role.rpartition('/')[2]}/run-7" == caller["Arn"].rpartition(":")[2]
    assert caller["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert caller["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert (MAIN, AUDIENCE, issuer.url) == (
        answer["SubjectFromWebIdentityToken"],
        answer["Audience"],
        answer["Provider"],
    )
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
        cloud.client_as("iam", *keys).list_roles()


@pytest.mark.parametrize(
    "sub",
    [
        "repo:acme@1/other@3:ref:refs/heads/main",
        "repo:mallory@9/models@10:ref:refs/heads/main",
        "repo:acme@1/models@99:ref:refs/heads/main",
        "repo:acme/models:ref:refs/heads/main",
        "repo:acme@1/models@2:ref:refs/heads/feature",
        "repo:acme@1/models@2:ref:refs/heads/main2",
        "repo:acme@1/models@2:ref:refs/heads/Main",
        "repo:acme@1/models@2:ref:refs/tags/main",
        "repo:acme@1/models@2:pull_request",
        "repo:acme@1/models@2:environment:main",
        "",
    ],
)
def test_a_token_of_anything_but_that_branch_of_that_repository_is_refused(sts, issuer, trusted, sub):
    assert "AccessDenied" == refusal(sts, trusted(), issuer.token(sub=sub))[0]


def test_a_token_that_lacks_what_a_trust_policy_asks_is_refused(sts, issuer, trusted):
    role = trusted(asked={f"{issuer.host}:ref": "refs/heads/main"})

    assert "AccessDenied" == refusal(sts, role, issuer.token(ref=None))[0]
    assert "AccessDenied" == refusal(sts, role, issuer.token(ref="refs/heads/feature"))[0]
    assert assume(sts, role, issuer.token())["Credentials"]


def test_a_token_that_is_over_or_not_good_yet_is_refused(sts, issuer, trusted):
    role, now = trusted(), issuer.claims()["iat"]

    assert "ExpiredTokenException" == refusal(sts, role, issuer.token(exp=now - 1))[0]
    assert "InvalidIdentityToken" == refusal(sts, role, issuer.token(nbf=now + 3600))[0]
    assert "InvalidIdentityToken" == refusal(sts, role, issuer.token(iat=now + 3600))[0]


@pytest.mark.parametrize("missing", ["exp", "iat", "aud", "sub"])
def test_a_token_without_a_claim_that_it_must_have_is_refused(sts, issuer, trusted, missing):
    code, words = refusal(sts, trusted(), issuer.token(**{missing: None}))

    assert "InvalidIdentityToken" == code
    assert missing in words


@pytest.mark.parametrize(
    "aud", ["https://github.com/acme", "", ["sts.amazonaws.com", "somebody-else"], ["somebody-else"]]
)
def test_a_token_for_somebody_else_is_refused(sts, issuer, trusted, aud):
    expected = ("InvalidIdentityToken", "Incorrect token audience")

    assert expected == refusal(sts, trusted(), issuer.token(aud=aud))


def test_a_token_of_an_issuer_that_the_account_does_not_know_is_refused_unasked(sts, issuer, trusted):
    role = trusted()

    for iss in ("https://token.example.com", issuer.url + "/", issuer.url.replace("https", "http"), None):
        code, words = refusal(sts, role, issuer.token(iss=iss))
        assert ("InvalidIdentityToken", True) == (code, "No OpenIDConnect provider found" in words)
    assert [] == issuer.asked


def test_a_role_that_trusts_another_provider_is_refused(sts, issuer, provider, trusted):
    other = provider.rpartition("/")[0] + "/token.actions.githubusercontent.com"

    assert "AccessDenied" == refusal(sts, trusted(federated=other), issuer.token())[0]


def test_what_is_not_signed_by_the_issuers_key_is_refused(sts, issuer, trusted):
    role, token = trusted(), issuer.token()
    head, claims, signature = token.split(".")
    other = issuer.token(sub="repo:mallory@9/models@10:ref:refs/heads/main").split(".")[1]

    for changed in (
        f"{head}.{claims}.{signature[:-8]}AAAAAAAA",
        f"{head}.{other}.{signature}",
        f"{head}.{claims}.",
        issuer.token(key=rsa_key()),
    ):
        assert "InvalidIdentityToken" == refusal(sts, role, changed)[0]


def test_no_algorithm_but_rs256_is_accepted(sts, issuer, trusted):
    role = trusted()
    published = issuer.published[0]["n"]

    for token in (
        issuer.token(algorithm="none"),
        issuer.token(algorithm="HS256", key=published),
        issuer.token(algorithm="RS384"),
        issuer.token(algorithm="PS256"),
    ):
        code, words = refusal(sts, role, token)
        assert ("InvalidIdentityToken", True) == (code, "only RS256 is accepted" in words)


def test_a_key_that_the_issuer_does_not_publish_is_refused_until_it_does(sts, issuer, trusted):
    role, following = trusted(), rsa_key()
    token = issuer.token(kid="second", key=following)

    assert "InvalidIdentityToken" == refusal(sts, role, token)[0]
    assert "InvalidIdentityToken" == refusal(sts, role, issuer.token(kid=None))[0]
    issuer.published.append(public(following, "second"))
    assert assume(sts, role, token)["Credentials"]
    issuer.published[:] = issuer.published[1:]
    assert "InvalidIdentityToken" == refusal(sts, role, issuer.token())[0]


def signed_by_nobody(header, claims):
    parts = (base64.urlsafe_b64encode(each.encode()).decode().rstrip("=") for each in (header, claims))
    return ".".join((*parts, "AA"))


@pytest.mark.parametrize(
    "token",
    [
        *("word", "a.b.c", "....", "x" * 19_000),
        signed_by_nobody('{"alg":"RS256"}', "{}"),
        signed_by_nobody('{"alg":"RS256","kid":"first"}', '{"iss":' + "[" * 9_000),
        signed_by_nobody('{"alg":"RS256","kid":7}', "{}"),
        signed_by_nobody("[]", "7"),
    ],
)
def test_what_is_no_token_is_refused(sts, trusted, token):
    assert "InvalidIdentityToken" == refusal(sts, trusted(), token)[0]


def test_a_role_is_taken_no_longer_than_it_allows(sts, issuer, trusted):
    role = trusted(MaxSessionDuration=3600)

    for seconds in (3601, 899, 43_201):
        assert "ValidationError" == refusal(sts, role, issuer.token(), DurationSeconds=seconds)[0]


def test_a_role_that_is_not_there_is_refused_as_one_that_does_not_trust(sts, issuer, provider, unique):
    account = provider.split(":")[4]

    absent = refusal(sts, f"arn:aws:iam::{account}:role/{unique}", issuer.token())

    assert ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity") == absent
    elsewhere = refusal(sts, f"arn:aws:iam::999999999999:role/{unique}", issuer.token())
    assert "InvalidIdentityToken" == elsewhere[0]
    assert "ValidationError" == refusal(sts, "arn:aws:iam::1:user/somebody", issuer.token())[0]


def test_a_session_policy_narrows_what_the_role_may(cloud, sts, issuer, trusted, unique):
    role = trusted()
    may = {"Effect": "Allow", "Action": "logs:DescribeLogGroups", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    cloud.client("iam").put_role_policy(RoleName=unique, PolicyName="p", PolicyDocument=policy)

    def logs(**more):
        made = assume(sts, role, issuer.token(), **more)["Credentials"]
        return cloud.client_as("logs", made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])

    assert logs().describe_log_groups(limit=1)["logGroups"] is not None
    narrow = json.dumps({"Version": "2012-10-17", "Statement": [{**may, "Action": "logs:CreateLogGroup"}]})
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
        logs(Policy=narrow).describe_log_groups(limit=1)


def test_an_issuer_that_publishes_nonsense_is_refused_and_the_cloud_lives_on(sts, issuer, trusted):
    role, place = trusted(), "/.well-known/openid-configuration"

    for body in (
        b"<html>",
        b"[]",
        json.dumps({"issuer": "https://another.example", "jwks_uri": issuer.url}).encode(),
        json.dumps({"issuer": issuer.url, "jwks_uri": issuer.url.replace("https", "http")}).encode(),
        json.dumps({"issuer": issuer.url, "jwks_uri": issuer.url + "/absent"}).encode(),
        b" " * (1 << 21),
    ):
        issuer.documents = {place: body}
        assert "InvalidIdentityToken" == refusal(sts, role, issuer.token())[0]
    issuer.documents = {"/.well-known/jwks": json.dumps({"keys": [7, {"kid": "first"}]}).encode()}
    assert "InvalidIdentityToken" == refusal(sts, role, issuer.token())[0]


def test_an_issuer_that_cannot_be_reached_is_told_and_delays_nobody_else(cloud, sts, issuer, trusted):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"  # takes the connection and never says a word
        arn = cloud.client("iam").create_open_id_connect_provider(Url=url, ClientIDList=[AUDIENCE])[
            "OpenIDConnectProviderArn"
        ]
        role, token = trusted(), issuer.token()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(refusal, sts, role, issuer.token(iss=url))
            assert assume(sts, role, token)["Credentials"]
            assert not waiting.done()
            assert "IDPCommunicationError" == waiting.result()[0]
    assert "IDPCommunicationError" == refusal(sts, role, issuer.token(iss=url))[0]
    cloud.client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert "InvalidIdentityToken" == refusal(sts, role, issuer.token(iss=url))[0]


def test_an_issuer_whose_certificate_nobody_vouches_for_is_not_believed(
    cloud, sts, issuer, provider, trusted
):
    role, iam = trusted(), cloud.client("iam")
    iam.update_open_id_connect_provider_thumbprint(
        OpenIDConnectProviderArn=provider, ThumbprintList=["0" * 40]
    )
    try:
        code, words = refusal(sts, role, issuer.token())
    finally:
        iam.update_open_id_connect_provider_thumbprint(
            OpenIDConnectProviderArn=provider, ThumbprintList=[issuer.thumbprint.upper()]
        )

    assert ("InvalidIdentityToken", True) == (code, "thumbprint" in words)
    assert [] == issuer.asked
    assert assume(sts, role, issuer.token())["Credentials"]


def test_many_runners_at_once_each_get_a_session_of_their_own(sts, issuer, trusted):
    role, token, gate = trusted(), issuer.token(), threading.Barrier(8)

    def run(_):
        gate.wait()
        return assume(sts, role, token)["Credentials"]["AccessKeyId"]

    with ThreadPoolExecutor(8) as pool:
        assert 8 == len(set(pool.map(run, range(8))))


def test_a_provider_is_kept_tagged_and_changed(cloud, unique):
    iam = cloud.client("iam")
    url = f"https://{unique}.example.com/tenant"
    made = iam.create_open_id_connect_provider(
        Url=url, ClientIDList=["one", "one"], Tags=[{"Key": "team", "Value": "<a&b>"}]
    )
    named = {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"]}
    try:
        iam.add_client_id_to_open_id_connect_provider(**named, ClientID="two")
        iam.add_client_id_to_open_id_connect_provider(**named, ClientID="two")
        iam.remove_client_id_from_open_id_connect_provider(**named, ClientID="one")
        iam.tag_open_id_connect_provider(**named, Tags=[{"Key": "stage", "Value": "test"}])
        iam.untag_open_id_connect_provider(**named, TagKeys=["team"])
        found = iam.get_open_id_connect_provider(**named)
        listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        with pytest.raises(ClientError, match="EntityAlreadyExists"):
            iam.create_open_id_connect_provider(Url=url)
    finally:
        iam.delete_open_id_connect_provider(**named)

    assert [{"Key": "team", "Value": "<a&b>"}] == made["Tags"]
    assert (f"{unique}.example.com/tenant", ["two"], []) == (
        found["Url"],
        found["ClientIDList"],
        found["ThumbprintList"],
    )
    assert [{"Key": "stage", "Value": "test"}] == found["Tags"]
    assert named["OpenIDConnectProviderArn"] in {each["Arn"] for each in listed}
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_open_id_connect_provider(**named)


@pytest.mark.parametrize(
    "asked",
    [
        {"Url": "http://issuer.example.com"},
        {"Url": "https://issuer.example.com?x=1"},
        {"Url": "https://user@issuer.example.com"},
        {"Url": "https://"},
        {"Url": "https://[issuer"},
        {"Url": "https://issuer.example.com:99999"},
        {"Url": "https://issuer.example.com", "ThumbprintList": ["z" * 40]},
        {"Url": "https://issuer.example.com", "ThumbprintList": ["0" * 40] * 6},
    ],
)
def test_what_is_no_provider_is_refused(cloud, asked):
    with pytest.raises(ClientError, match="InvalidInput"):
        cloud.client("iam").create_open_id_connect_provider(**asked)


def test_a_stack_makes_changes_replaces_and_deletes_a_provider(cloud, deploy, unique):
    def stack(host, *clients, **more):
        properties = {"Url": f"https://{host}.example.com", "ClientIdList": list(clients), **more}
        resource = {"Type": "AWS::IAM::OIDCProvider", "Properties": properties}
        arn = {"Ref": {"Ref": "P"}, "Arn": {"Fn::GetAtt": ["P", "Arn"]}}
        return deploy({"P": resource}, arn)

    def get(arn):
        return cloud.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=arn)

    first = stack(unique, "one", Tags=[{"Key": "k", "Value": "v"}])
    assert first["Ref"] == first["Arn"]
    assert (["one"], [{"Key": "k", "Value": "v"}]) == (
        get(first["Arn"])["ClientIDList"],
        get(first["Arn"])["Tags"],
    )
    assert first == stack(unique, "two", ThumbprintList=["a" * 40])
    assert (["two"], ["a" * 40], []) == tuple(
        get(first["Arn"]).get(key, []) for key in ("ClientIDList", "ThumbprintList", "Tags")
    )
    second = stack(f"{unique}b", "two")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        get(first["Arn"])
    assert "DELETE_COMPLETE" == deploy.delete()
    deploy.made = False
    with pytest.raises(ClientError, match="NoSuchEntity"):
        get(second["Arn"])


def test_a_stack_with_a_provider_that_cannot_be_is_refused(deploy):
    resource = {"Type": "AWS::IAM::OIDCProvider", "Properties": {"Url": "http://plain.example.com"}}

    assert "Invalid Open ID Connect Provider URL" in deploy({"P": resource})


def test_tokens_of_the_clouds_own_are_refused_by_name(cloud):
    with pytest.raises(ClientError, match="GetWebIdentityToken is not part of the local cloud"):
        cloud.client("sts").get_web_identity_token(Audience=["a"], SigningAlgorithm="RS256")


@pytest.mark.parametrize(
    "other", ["AssumeRole", "GetFederationToken", "GetSessionToken", "GetWebIdentityToken"]
)
def test_the_open_door_of_the_exchange_leads_to_no_other_operation(cloud, trusted, other):
    asked = {"RoleArn": trusted(), "RoleSessionName": "run", "Name": "somebody", "Version": "2011-06-15"}

    def ask(query, body):
        request = urllib.request.Request(
            f"{cloud.endpoint}/?{urlencode(query)}", data=urlencode({**asked, **body}, doseq=True).encode()
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        with refused.value as answer:
            return answer.code, answer.read()

    mixed = "AssumeRoleWithWebIdentity"
    for query, body in (
        ({"Action": mixed}, {"Action": other}),
        ({"Action": other}, {"Action": mixed}),
        ({}, {"Action": [mixed, other]}),
        ({}, {"Action": [other, mixed]}),
    ):
        code, words = ask(query, body)
        assert code in (400, 403)
        assert b"AccessKeyId" not in words
