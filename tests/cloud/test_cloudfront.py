"""The site's stack on the local cloud: who may read the bucket, what viewers get, and what is refused."""

from __future__ import annotations

import gzip
import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from stacks import Stacks

from atelier import synth

PAGE = b"<!doctype html><title>Atelier</title>" + b"<p>words</p>" * 200
NOT_FOUND = b"<title>There is no such page</title>"


class Viewer:
    """Who asks a distribution by its name."""

    def __init__(self, cloud, domain):
        self.port = urlsplit(cloud.endpoint).port
        self.host = f"{domain.partition('.')[0]}.cloudfront.localhost"

    def ask(self, path, method="GET", **headers):
        """Return status, headers by their small names, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Host": f"{self.host}:{self.port}", **told})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

    def status(self, path, method="GET"):
        return self.ask(path, method)[0]

    def is_hit(self, path):
        return self.ask(path)[1]["x-cache"] == "Hit from cloudfront"


class Site:
    """The deployed stack, with a page and the page for what is not there."""

    def __init__(self, cloud, name):
        self.cloud, self.name = cloud, name
        self.cloudformation = cloud.client("cloudformation")
        self.s3, self.cloudfront = cloud.client("s3"), cloud.client("cloudfront")
        self.deploy("create_stack", json.loads(synth.text("docs-site")))
        stack = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        self.bucket, self.id = outputs["DocsBucketName"], outputs["DocsDistributionId"]
        self.viewer = Viewer(cloud, urlsplit(outputs["DocsUrl"]).hostname)
        self.put("index.html", PAGE)
        self.put("404.html", NOT_FOUND)

    def deploy(self, verb, template):
        getattr(self.cloudformation, verb)(
            StackName=self.name,
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": "Prefix", "ParameterValue": self.name}],
        )
        stacks = Stacks(self.cloudformation, self.name)
        stacks.settled()
        return stacks

    def put(self, key, body, kind="text/html", kept="max-age=0, s-maxage=600"):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=kind, CacheControl=kept)

    def invalidate(self, *paths):
        batch = {"Paths": {"Quantity": len(paths), "Items": list(paths)}, "CallerReference": "-".join(paths)}
        made = self.cloudfront.create_invalidation(DistributionId=self.id, InvalidationBatch=batch)
        return made["Invalidation"]

    def updated(self, change):
        """Deploy the template with a change, and put it back: yields what came of it."""
        template = json.loads(synth.text("docs-site"))
        change(template["Resources"])
        return self.deploy("update_stack", template)


@pytest.fixture(scope="module")
def site(cloud):
    made = Site(cloud, "docs-of-tests")
    yield made
    made.cloudformation.delete_stack(StackName=made.name)
    Stacks(made.cloudformation, made.name)


@pytest.fixture
def restored(site):
    """Put the stack back to what the template says."""
    yield site
    site.deploy("update_stack", json.loads(synth.text("docs-site")))
    site.invalidate("/*")  # errors are kept for some seconds, too


def test_the_site_is_read_through_cloudfront(site):
    status, headers, body = site.viewer.ask("/index.html")

    assert (200, PAGE) == (status, body)
    assert "text/html" == headers["content-type"]


def test_the_site_begins_with_its_first_page(site):
    assert PAGE == site.viewer.ask("/")[2]


def test_the_bucket_lets_nobody_else_read(site):
    asked = [
        (f"/{site.bucket}/index.html", {}),
        (f"/{site.bucket}?list-type=2", {}),
        ("/index.html", {"Host": f"{site.bucket}.s3.us-east-1.amazonaws.com"}),
    ]
    for path, headers in asked:
        with closing(http.client.HTTPConnection("127.0.0.1", site.viewer.port, timeout=20)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            assert (403, True) == (answer.status, b"AccessDenied" in answer.read())


def test_answers_carry_what_keeps_a_page_to_itself(site):
    headers = site.viewer.ask("/index.html")[1]

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "nosniff" == headers["x-content-type-options"]
    assert "DENY" == headers["x-frame-options"]
    assert headers["strict-transport-security"].startswith("max-age=31536000")
    assert "camera=()" in headers["permissions-policy"]


def test_what_is_not_there_is_a_page_that_says_so(site):
    status, headers, body = site.viewer.ask("/no-such-page.html")

    assert (404, NOT_FOUND) == (status, body)
    assert "content-security-policy" in headers


def test_text_comes_compressed_to_who_takes_it(site):
    plain = site.viewer.ask("/index.html")
    small = site.viewer.ask("/index.html", Accept_Encoding="gzip, br")

    assert PAGE == plain[2] == gzip.decompress(small[2])
    assert "content-encoding" not in plain[1]


def test_who_has_the_page_is_not_sent_it_again(site):
    tag = site.viewer.ask("/index.html")[1]["etag"]

    assert (304, b"") == site.viewer.ask("/index.html", If_None_Match=tag)[::2]
    assert (304, b"") == site.viewer.ask("/index.html", If_None_Match=f"W/{tag}")[::2]
    assert 200 == site.viewer.ask("/index.html", If_None_Match='"other"')[0]


def test_a_head_has_no_body_and_a_range_is_a_part(site):
    assert (200, b"") == site.viewer.ask("/index.html", "HEAD")[::2]
    assert (206, PAGE[2:5]) == site.viewer.ask("/index.html", Range="bytes=2-4")[::2]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_a_viewer_can_change_nothing(site, method):
    assert 403 == site.viewer.status("/index.html", method)
    assert 200 == site.viewer.status("/index.html")


def test_a_page_is_kept_until_it_is_invalidated(site):
    site.put("kept.html", b"old")
    site.put("other.html", b"other")
    for each in ("/kept.html", "/other.html"):
        site.viewer.ask(each)
    site.put("kept.html", b"new")
    before = site.viewer.ask("/kept.html")

    done = site.invalidate("/kept.html")

    assert (b"old", "Hit from cloudfront") == (before[2], before[1]["x-cache"])
    assert "Completed" == done["Status"]
    assert b"new" == site.viewer.ask("/kept.html")[2]
    assert site.viewer.is_hit("/other.html")


def test_a_removed_page_is_gone_when_it_is_invalidated(site):
    site.put("going.html", b"there")
    site.viewer.ask("/going.html")
    site.s3.delete_object(Bucket=site.bucket, Key="going.html")
    assert 200 == site.viewer.status("/going.html")

    site.invalidate("/going.html")

    assert 404 == site.viewer.status("/going.html")


def test_paths_that_are_none_are_refused(site):
    with pytest.raises(ClientError, match="invalid invalidation paths: going"):
        site.invalidate("going")


def test_a_distribution_that_nobody_made_is_refused(site):
    stranger = Viewer(site.cloud, "dnobody.cloudfront.net")

    assert 403 == stranger.status("/")


def test_another_distribution_may_not_read_the_bucket(site, restored):
    def another_source(resources):
        statement = resources["DocsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"][1]
        statement["Condition"]["StringEquals"]["AWS:SourceArn"] = (
            "arn:aws:cloudfront::000000000000:distribution/EANOTHER"
        )

    site.updated(another_source)
    site.invalidate("/*")

    assert 403 == site.viewer.status("/index.html")


def test_cloudfront_that_does_not_sign_may_not_read_the_bucket(site, restored):
    def never(resources):
        resources["DocsAccess"]["Properties"]["OriginAccessControlConfig"]["SigningBehavior"] = "never"

    site.updated(never)
    site.invalidate("/*")

    assert 403 == site.viewer.status("/index.html")


def test_a_disabled_distribution_serves_nothing(site, restored):
    def disabled(resources):
        resources["DocsDistribution"]["Properties"]["DistributionConfig"]["Enabled"] = False

    site.updated(disabled)

    assert 403 == site.viewer.status("/index.html")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Aliases": ["docs.example.com"]}, "DistributionConfig.Aliases"),
        ({"WebACLId": "arn:x"}, "DistributionConfig.WebACLId"),
        ({"ViewerCertificate": {"AcmCertificateArn": "arn:x"}}, "ViewerCertificate.AcmCertificateArn"),
        ({"DefaultCacheBehavior": {"ForwardedValues": {}}}, "DefaultCacheBehavior.ForwardedValues"),
    ],
)
def test_what_would_only_be_pretended_is_refused_by_name(site, change, words):
    def changed(resources):
        resources["DocsDistribution"]["Properties"]["DistributionConfig"].update(change)

    stacks = site.updated(changed)

    events = site.cloudformation.describe_stack_events(StackName=site.name)["StackEvents"]
    assert any(words in each.get("ResourceStatusReason", "") for each in events)
    assert 200 == site.viewer.status("/index.html")
    assert "UPDATE_ROLLBACK_COMPLETE" == stacks.settled()["StackStatus"]


def test_what_the_api_would_only_pretend_is_refused_by_name(site):
    with pytest.raises(ClientError, match="not part of the local cloud"):
        site.cloudfront.create_origin_access_control(
            OriginAccessControlConfig={
                "Name": "x",
                "SigningProtocol": "sigv4",
                "SigningBehavior": "always",
                "OriginAccessControlOriginType": "s3",
            }
        )
    with pytest.raises(ClientError, match="not part of the local cloud"):
        site.cloudfront.list_functions()


def test_what_is_made_can_be_read(site):
    found = site.cloudfront.get_distribution(Id=site.id)["Distribution"]

    assert "Deployed" == found["Status"]
    assert "index.html" == found["DistributionConfig"]["DefaultRootObject"]


def test_invalidations_need_a_permission(site, role):
    arn = role(
        site.cloud,
        [{"Effect": "Allow", "Action": "cloudfront:GetDistribution", "Resource": "*"}],
        {"AWS": "arn:aws:iam::000000000000:root"},
    )
    key = site.cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="reader")["Credentials"]
    reader = site.cloud.client_as(
        "cloudfront", key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"]
    )
    batch = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": "reader"}

    assert site.id == reader.get_distribution(Id=site.id)["Distribution"]["Id"]
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.create_invalidation(DistributionId=site.id, InvalidationBatch=batch)
