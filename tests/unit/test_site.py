"""Publishing a site: what changed is sent, what is gone removed, and CloudFront forgets no more than that."""

import hashlib
import io
import json
import threading
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from atelier.cli.main import cli
from atelier.client.errors import NotDeployed, Problem
from atelier.client.site import PENDING, File, Place, Site, built, place

HASHED = "assets/javascripts/bundle.0a1b2c3d.min.js"


class Bucket:
    """S3, with one bucket that remembers in which order things came."""

    def __init__(self):
        self.objects, self.order, self.fails_at, self.errors = {}, [], None, []
        self.lock = threading.Lock()

    def get_paginator(self, _operation):
        contents = [
            {"Key": key, "ETag": f'"{hashlib.md5(each["Body"]).hexdigest()}"'}
            for key, each in self.objects.items()
        ]
        halves = [{"Contents": contents[:1]}, {"Contents": contents[1:]}, {}]
        return SimpleNamespace(paginate=lambda Bucket: halves)

    def get_object(self, *, Bucket, Key):
        return {"Body": io.BytesIO(self.objects[Key]["Body"])}

    def put_object(self, *, Bucket, Key, **details):
        with self.lock:
            if self.fails_at == Key:
                raise ConnectionError("the line is cut")
            self.objects[Key] = details
            self.order.append(Key)

    def delete_object(self, *, Bucket, Key):
        del self.objects[Key]

    def delete_objects(self, *, Bucket, Delete):
        if self.errors:
            return {"Errors": self.errors}
        for each in Delete["Objects"]:
            del self.objects[each["Key"]]
        return {}


class Edge:
    """CloudFront, which takes some looks to forget."""

    def __init__(self, looks=0):
        self.batches, self.looks = [], looks

    def create_invalidation(self, *, DistributionId, InvalidationBatch):
        paths = InvalidationBatch["Paths"]
        assert paths["Quantity"] == len(paths["Items"])
        self.batches.append(paths["Items"])
        return self.get_invalidation(DistributionId=DistributionId, Id="I1")

    def get_invalidation(self, *, DistributionId, Id):
        self.looks -= 1
        return {"Invalidation": {"Id": Id, "Status": "InProgress" if self.looks >= 0 else "Completed"}}


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture
def edge():
    return Edge()


@pytest.fixture
def site(bucket, edge):
    where = Place(url="https://docs.example.com/", bucket="pages", distribution="E1")
    return Site(s3=bucket, cloudfront=edge, place=where, sleep=lambda seconds: None)


def files(**pages):
    return [File(key=key.replace("__", "."), body=body.encode()) for key, body in pages.items()]


def publish(site, *given, **how):
    plan = site.plan(given, **how)
    site.publish(plan)
    return plan


def test_the_first_publication_sends_all_and_has_nothing_forgotten(site, bucket, edge):
    publish(site, *files(index__html="a", style__css="b"))

    assert {"index.html", "style.css"} == set(bucket.objects)
    assert [] == edge.batches


def test_what_is_the_same_is_not_sent_again(site, bucket, edge):
    publish(site, *files(index__html="a"))
    bucket.order.clear()

    plan = publish(site, *files(index__html="a"))

    assert 1 == plan.same
    assert [] == bucket.order
    assert [] == edge.batches


def test_cloudfront_forgets_what_changed_or_went_and_nothing_else(site, edge, bucket):
    publish(site, *files(index__html="a", old__html="b", same__html="c", other__html="d"))

    publish(site, *files(index__html="a2", same__html="c", other__html="d2", new__html="e"))

    assert [["/", "/index.html", "/old.html", "/other.html"]] == edge.batches
    assert "old.html" not in bucket.objects


def test_pages_come_after_what_they_show(site, bucket):
    publish(site, *files(a__html="a", z__css="z", m__png="m"))

    assert "a.html" == bucket.order[-1]


def test_a_strange_name_is_written_as_an_address(site, edge):
    publish(site, File(key="a b/ü.html", body=b"1"))

    publish(site, File(key="a b/ü.html", body=b"2"))

    assert [["/a%20b/%C3%BC.html"]] == edge.batches


def test_very_many_changes_are_one_path(site, edge):
    publish(site, *(File(key=f"{n}.html", body=b"1") for n in range(101)))

    publish(site, *(File(key=f"{n}.html", body=b"2") for n in range(101)))

    assert [["/*"]] == edge.batches


def test_all_of_it_can_be_sent_again(site, bucket):
    publish(site, *files(index__html="a"))

    plan = publish(site, *files(index__html="a"), everything=True)

    assert ["index.html"] == [each.key for each in plan.changed]


def test_a_publication_that_was_cut_is_made_good_by_the_next(site, bucket, edge):
    publish(site, *files(a__css="1", index__html="1"))
    bucket.fails_at = "index.html"
    with pytest.raises(ConnectionError):
        publish(site, *files(a__css="2", index__html="2"))
    assert [] == edge.batches
    bucket.fails_at = None

    publish(site, *files(a__css="2", index__html="2"))

    assert [["/", "/a.css", "/index.html"]] == edge.batches
    assert PENDING not in bucket.objects


def test_it_ends_when_cloudfront_has_forgotten(bucket):
    edge, naps = Edge(looks=3), []
    where = Place(url="https://x/", bucket="pages", distribution="E1")
    site = Site(s3=bucket, cloudfront=edge, place=where, sleep=naps.append)
    publish(site, *files(index__html="a"))

    publish(site, *files(index__html="b"))

    assert [3, 3, 3] == naps


def test_it_does_not_wait_for_ever(bucket):
    times = iter(range(0, 100_000, 700))
    where = Place(url="https://x/", bucket="pages", distribution="E1")
    site = Site(
        s3=bucket, cloudfront=Edge(looks=99), place=where, sleep=lambda _: None, clock=lambda: next(times)
    )
    publish(site, *files(index__html="a"))

    with pytest.raises(Problem, match="I1 is still InProgress"):
        publish(site, *files(index__html="b"))

    assert PENDING in bucket.objects


def test_a_page_that_cannot_be_removed_is_named(site, bucket):
    publish(site, *files(index__html="a", old__html="b"))
    bucket.errors = [{"Key": "old.html", "Message": "Access Denied"}]

    with pytest.raises(Problem, match=r"old\.html cannot be removed: Access Denied"):
        publish(site, *files(index__html="a"))


@pytest.mark.parametrize(
    ("key", "kind", "kept"),
    [
        ("index.html", "text/html; charset=utf-8", "public, max-age=0, s-maxage=31536000, must-revalidate"),
        ("a.css", "text/css; charset=utf-8", "public, max-age=0, s-maxage=31536000, must-revalidate"),
        ("images/a.png", "image/png", "public, max-age=3600, s-maxage=31536000, must-revalidate"),
        (HASHED, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
    ],
)
def test_a_file_says_what_it_is_and_how_long_it_may_be_kept(site, bucket, key, kind, kept):
    publish(site, File(key=key, body=b"x"))

    assert {"ContentType": kind, "CacheControl": kept, "Body": b"x"} == bucket.objects[key]


def test_a_folder_that_is_no_site_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")

    with pytest.raises(Problem, match=r"has no index\.html: build the site with `make docs`"):
        built(tmp_path)


def test_a_file_of_a_kind_that_no_site_serves_is_refused(tmp_path):
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "secret.pem").write_text("x")

    with pytest.raises(Problem, match=r"secret\.pem is no file that a site serves"):
        built(tmp_path)


def clients(bucket, edge, *, endpoint=None, stack="atelier-docs-site"):
    outputs = {
        "DocsBucketName": "pages",
        "DocsDistributionId": "E1",
        "DocsUrl": "https://d123.cloudfront.net/",
    }
    found = {
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    }
    cloudformation = SimpleNamespace(
        describe_stacks=lambda StackName: {"Stacks": [found] if StackName == stack else []}
    )
    return SimpleNamespace(
        s3=bucket, cloudfront=edge, cloudformation=cloudformation, endpoint=endpoint, where="the local cloud"
    )


def test_the_site_is_found_at_its_own_address_or_below_the_local_clouds(bucket, edge):
    local = clients(bucket, edge, endpoint="http://127.0.0.1:4566")

    assert "https://d123.cloudfront.net/" == place(clients(bucket, edge)).url
    assert "http://d123.cloudfront.localhost:4566/" == place(local).url


def test_a_site_that_is_not_deployed_says_how_to_deploy_it(bucket, edge):
    with pytest.raises(NotDeployed, match="run `atelier deploy docs`"):
        place(clients(bucket, edge), "other")


def test_the_command_publishes_and_says_where(tmp_path, bucket, edge):
    (tmp_path / "index.html").write_text("x")

    ran = CliRunner().invoke(cli, ["docs", "publish", "--site", str(tmp_path)], obj=clients(bucket, edge))

    assert 0 == ran.exit_code, ran.output
    assert "1 new, 0 changed and 0 removed files published" in ran.output
    assert "https://d123.cloudfront.net/" in ran.output


def test_a_dry_run_changes_nothing(tmp_path, bucket, edge):
    (tmp_path / "index.html").write_text("x")
    words = ["docs", "publish", "--site", str(tmp_path), "--dry-run", "--json"]

    document = json.loads(CliRunner().invoke(cli, words, obj=clients(bucket, edge)).stdout)

    assert (["index.html"], False) == (document["new"], document["published"])
    assert {} == bucket.objects


def test_outputs_say_where_the_site_is(bucket, edge):
    ran = CliRunner().invoke(cli, ["outputs", "docs", "--json"], obj=clients(bucket, edge))

    assert "E1" == json.loads(ran.stdout)["DocsDistributionId"]
