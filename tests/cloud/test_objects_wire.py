"""Every way to send a body: signed, presigned, in chunks, with trailers; and each lie about it is refused."""

import base64
import hashlib
import hmac
import os
import zlib
from datetime import UTC, datetime
from urllib.parse import urlsplit
from xml.etree import ElementTree

import boto3
import pytest
import urllib3
from arriving import nothing_is_left, on_the_way
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

MB = 1 << 20
BODY = os.urandom(2 * MB + 100)
SMALL = b"a few bytes"
HTTP = urllib3.PoolManager(retries=False)


class Claiming(S3SigV4Auth):
    """Signs whatever payload hash it is told to."""

    def __init__(self, cloud, payload):
        connection = cloud.connection
        key = Credentials(connection.access_key, connection.secret_key)
        super().__init__(key, "s3", connection.region)
        self._payload = payload

    def payload(self, request):
        return self._payload


@pytest.fixture
def bucket(cloud, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    return unique


@pytest.fixture(params=[SMALL, BODY], ids=["small", "big"])
def body(request):
    return request.param


def signed(cloud, bucket, payload, **headers):
    """The signed request for ``PUT bucket/k``, still without its body."""
    request = AWSRequest("PUT", f"{cloud.endpoint}/{bucket}/k", headers=headers)
    Claiming(cloud, payload).add_auth(request)
    return request


def send(request, data):
    answer = HTTP.request(request.method, request.url, body=data, headers=dict(request.headers))
    if answer.status == 200:
        return 200
    return answer.status, ElementTree.fromstring(answer.data).findtext("Code")


def kept(cloud, bucket):
    return cloud.client("s3").get_object(Bucket=bucket, Key="k")["Body"].read()


def crc32(body):
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def chunked(body, trailer="", size=MB):
    """The body in unsigned chunks."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces)
    return framed + b"0\r\n" + trailer.encode() + b"\r\n"


def test_a_hash_that_is_signed_must_be_the_bodys(cloud, bucket, body):
    right = signed(cloud, bucket, hashlib.sha256(body).hexdigest())
    wrong = signed(cloud, bucket, hashlib.sha256(b"another").hexdigest())

    assert (400, "XAmzContentSHA256Mismatch") == send(wrong, body)
    assert 200 == send(right, body)
    assert body == kept(cloud, bucket)


def test_an_unsigned_payload_is_taken(cloud, bucket, body):
    assert 200 == send(signed(cloud, bucket, "UNSIGNED-PAYLOAD"), body)
    assert body == kept(cloud, bucket)


def test_a_payload_hash_that_is_none_is_refused(cloud, bucket):
    assert (400, "InvalidArgument") == send(signed(cloud, bucket, "something"), SMALL)


def test_another_signature_is_refused_and_nothing_kept(cloud, bucket, body):
    before = on_the_way(cloud)
    request = signed(cloud, bucket, "UNSIGNED-PAYLOAD")
    signature = request.headers["Authorization"]
    del request.headers["Authorization"]
    request.headers["Authorization"] = signature[:-8] + "00000000"

    assert (403, "SignatureDoesNotMatch") == send(request, body)
    assert nothing_is_left(cloud, before)


def test_a_header_that_was_changed_after_signing_is_refused(cloud, bucket, body):
    request = signed(cloud, bucket, hashlib.sha256(b"another").hexdigest())
    del request.headers["X-Amz-Content-SHA256"]
    request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()

    assert (403, "SignatureDoesNotMatch") == send(request, body)


def trailing(cloud, bucket, body, **changed):
    headers = {
        "Content-Encoding": "aws-chunked",
        "X-Amz-Decoded-Content-Length": str(len(body)),
        "X-Amz-Trailer": "x-amz-checksum-crc32",
        **changed,
    }
    return signed(cloud, bucket, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", **headers)


def test_a_checksum_may_come_behind_the_body(cloud, bucket, body):
    sent = chunked(body, f"x-amz-checksum-crc32:{crc32(body)}\r\n")

    assert 200 == send(trailing(cloud, bucket, body), sent)

    got = cloud.client("s3").get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (body, crc32(body)) == (got["Body"].read(), got["ChecksumCRC32"])
    assert "ContentEncoding" not in got


def test_the_callers_own_encoding_is_kept(cloud, bucket):
    sent = chunked(SMALL, f"x-amz-checksum-crc32:{crc32(SMALL)}\r\n")
    request = trailing(cloud, bucket, SMALL, **{"Content-Encoding": "gzip,aws-chunked"})

    assert 200 == send(request, sent)
    assert "gzip" == cloud.client("s3").head_object(Bucket=bucket, Key="k")["ContentEncoding"]


def test_another_checksum_behind_the_body_is_refused(cloud, bucket, body):
    sent = chunked(body, f"x-amz-checksum-crc32:{crc32(b'another')}\r\n")

    assert (400, "BadDigest") == send(trailing(cloud, bucket, body), sent)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sent: sent[:-30],
        lambda sent: sent.replace(b"x-amz-checksum-crc32", b"x-amz-checksum-sha1", 1),
        lambda sent: b"zz" + sent,
        lambda sent: b"5" + sent,
        lambda sent: b"\r\n" * 4 + sent,
        lambda sent: sent[:-2] + b"no colon\r\n\r\n",
        lambda sent: chunked(SMALL) + sent,
        lambda sent: b"0\r\n" + b"a:b\r\n" * 9999 + b"\r\n",
    ],
)
def test_chunks_that_are_not_right_are_refused(cloud, bucket, body, spoil):
    before = on_the_way(cloud)
    sent = spoil(chunked(body, f"x-amz-checksum-crc32:{crc32(body)}\r\n"))

    assert (400, "IncompleteBody") == send(trailing(cloud, bucket, body), sent)
    assert nothing_is_left(cloud, before)


def test_the_length_inside_the_chunks_must_be_the_announced(cloud, bucket, body):
    request = trailing(cloud, bucket, body + b"more")
    sent = chunked(body, f"x-amz-checksum-crc32:{crc32(body)}\r\n")

    assert (400, "IncompleteBody") == send(request, sent)


def sealed(cloud, request, pieces, trailer=""):
    """The pieces in chunks, each signed after the one before."""
    connection, date = cloud.connection, request.context["timestamp"]
    day = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).strftime("%Y%m%d")
    scope = f"{day}/{connection.region}/s3/aws4_request"
    key = f"AWS4{connection.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    last = request.headers["Authorization"].rpartition("Signature=")[2]
    framed = b""

    def sign(kind, *digests):
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", date, scope, last, *digests])
        return hmac.new(key, text.encode(), "sha256").hexdigest()

    for piece in [*pieces, b""]:
        last = sign("PAYLOAD", hashlib.sha256(b"").hexdigest(), hashlib.sha256(piece).hexdigest())
        framed += b"%x;chunk-signature=%s\r\n%s" % (len(piece), last.encode(), piece)
        framed += b"\r\n" if piece else b""
    if trailer:
        last = sign("TRAILER", hashlib.sha256(f"{trailer}\n".encode()).hexdigest())
        framed += f"{trailer}\r\nx-amz-trailer-signature:{last}\r\n".encode()
    return framed + b"\r\n"


def in_signed_chunks(cloud, bucket, body, **more):
    headers = {"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": str(len(body)), **more}
    kind = "-TRAILER" if more else ""
    return signed(cloud, bucket, f"STREAMING-AWS4-HMAC-SHA256-PAYLOAD{kind}", **headers)


def pieces_of(body):
    return [body[start : start + 65536] for start in range(0, len(body), 65536)]


def test_each_chunk_may_be_signed(cloud, bucket, body):
    request = in_signed_chunks(cloud, bucket, body)

    assert 200 == send(request, sealed(cloud, request, pieces_of(body)))
    assert body == kept(cloud, bucket)


def test_a_chunk_that_was_changed_is_refused(cloud, bucket, body):
    before = on_the_way(cloud)
    request = in_signed_chunks(cloud, bucket, body)
    sent = sealed(cloud, request, pieces_of(body))

    assert (403, "SignatureDoesNotMatch") == send(request, sent.replace(body[-5:], b"other"))
    assert nothing_is_left(cloud, before)


def test_chunks_in_another_order_are_refused(cloud, bucket):
    request = in_signed_chunks(cloud, bucket, SMALL * 2)
    first, second, rest = sealed(cloud, request, [SMALL, SMALL]).split(SMALL + b"\r\n")

    sent = second + SMALL + b"\r\n" + first + SMALL + b"\r\n" + rest

    assert (403, "SignatureDoesNotMatch") == send(request, sent)


def test_a_signed_trailer_is_checked(cloud, bucket, body):
    request = in_signed_chunks(cloud, bucket, body, **{"X-Amz-Trailer": "x-amz-checksum-crc32"})
    sent = sealed(cloud, request, pieces_of(body), f"x-amz-checksum-crc32:{crc32(body)}")

    assert (403, "SignatureDoesNotMatch") == send(
        request, sent.replace(crc32(body).encode(), crc32(b"other").encode())
    )
    assert 200 == send(request, sent)


def test_a_trailer_that_was_not_announced_counts_for_nothing(cloud, bucket):
    request = trailing(cloud, bucket, SMALL)
    sent = chunked(SMALL, f"x-amz-checksum-crc32:{crc32(SMALL)}\r\nx-amz-meta-a:b\r\n")

    assert 200 == send(request, sent)
    assert {} == cloud.client("s3").head_object(Bucket=bucket, Key="k")["Metadata"]


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        (base64.b64encode(hashlib.md5(b"another").digest()).decode(), "BadDigest"),
        (base64.b64encode(hashlib.md5(b"").digest()).decode(), "BadDigest"),
        ("short", "InvalidDigest"),
    ],
)
def test_content_md5_must_be_the_bodys(cloud, bucket, body, given, refusal):
    request = signed(cloud, bucket, "UNSIGNED-PAYLOAD", **{"Content-MD5": given})
    right = base64.b64encode(hashlib.md5(body).digest()).decode()

    assert (400, refusal) == send(request, body)
    assert 200 == send(signed(cloud, bucket, "UNSIGNED-PAYLOAD", **{"Content-MD5": right}), body)


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"])
def test_a_checksum_in_a_header_must_be_the_bodys(cloud, bucket, body, algorithm):
    digests = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
    given = base64.b64encode(bytes(digests[algorithm])).decode()
    request = signed(cloud, bucket, "UNSIGNED-PAYLOAD", **{f"x-amz-checksum-{algorithm}": given})

    assert (400, "BadDigest") == send(request, body)


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_takes_and_gives_the_body(cloud, bucket, body, version):
    s3 = presigning(cloud, version)
    where = {"Bucket": bucket, "Key": "k"}
    put = s3.generate_presigned_url("put_object", Params=where)
    get = s3.generate_presigned_url("get_object", Params=where)

    assert 200 == HTTP.request("PUT", put, body=body, headers={"Content-Type": ""}).status
    assert body == HTTP.request("GET", get).data
    part = HTTP.request("GET", get, headers={"Range": "bytes=2-5"})
    assert (206, body[2:6]) == (part.status, part.data)


def test_the_bucket_may_be_in_the_host(cloud, bucket, body):
    host = f"{bucket}.{urlsplit(cloud.endpoint).netloc}"
    for method, sent in (("PUT", body), ("GET", None)):
        request = AWSRequest(method, f"http://{host}/k", headers={"Host": host})
        Claiming(cloud, "UNSIGNED-PAYLOAD").add_auth(request)
        answer = HTTP.request(method, f"{cloud.endpoint}/k", body=sent, headers=dict(request.headers))
        assert 200 == answer.status

    assert body == answer.data == kept(cloud, bucket)


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_is_good_for_what_it_says_only(cloud, bucket, body, version):
    before = on_the_way(cloud)
    url = presigning(cloud, version).generate_presigned_url(
        "put_object", Params={"Bucket": bucket, "Key": "k"}
    )

    refused = HTTP.request("PUT", url.replace("/k?", "/other?"), body=body, headers={"Content-Type": ""})

    assert 403 == refused.status
    assert nothing_is_left(cloud, before)


def presigning(cloud, version):
    return boto3.client(
        "s3",
        endpoint_url=cloud.endpoint,
        region_name=cloud.connection.region,
        aws_access_key_id=cloud.connection.access_key,
        aws_secret_access_key=cloud.connection.secret_key,
        config=Config(signature_version=version),
    )


def test_nothing_anonymous_is_taken(cloud, bucket, body):
    answer = HTTP.request("PUT", f"{cloud.endpoint}/{bucket}/k", body=body)

    assert 403 == answer.status


def test_a_missing_bucket_is_named(cloud, unique, body):
    request = signed(cloud, unique, "UNSIGNED-PAYLOAD")

    assert (404, "NoSuchBucket") == send(request, body)
