"""Where files are fetched from: nothing of our own network, however it is written or hidden."""

import socket
import ssl
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from atelier.lambdas.adapters.web import CheckedConnection, Https, addresses
from atelier.lambdas.domain.sources import file_name, is_public, place
from atelier.lambdas.errors import Busy, Failed, Invalid

PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/x",
        "ftp://a.example/x",
        "file:///etc/passwd",
        "https:a.example/x",
        "//a.example/x",
        "https:///x",
        "https://",
        "https://localhost/x",
        "https://localhost./x",
        "https://a.localhost/x",
        "https://metadata/x",
        "https://a.internal/x",
        "https://printer.local/x",
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0x7f.0.0.1/x",
        "https://0x7f.0.0.0x1/x",
        "https://0177.0.0.1/x",
        "https://127.0.0.1./x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://8.8.8.8/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[fd00:ec2::254]/x",
        "https://[::1/x",
        "https://user@a.example/x",
        "https://user:pass@a.example/x",
        "https://a.example@127.0.0.1/x",
        "https://@a.example/x",
        "https://a.example\\@127.0.0.1/x",
        "https://a.example:8443/x",
        "https://a.example:22/x",
        "https://a.example:0/x",
        "https://a.example:99999/x",
        "https://a.example:x/x",
        "https://a_b.example/x",
        "https://-a.example/x",
        "https://a..example/x",
        "https://%31%32%37.0.0.1/x",
        "https://\uff11\uff12\uff17.0.0.1/x",
        "https://a.example/x y",
        "https://a.example/x\r\nHost: b",
        "https://a.example/\tx",
        f"https://{'a' * 64}.example/x",
        f"https://{'a.' * 130}example/x",
        f"https://a.example/{'x' * 5000}",
    ],
)
def test_a_url_that_is_not_of_a_public_https_host_is_refused(url):
    with pytest.raises(Invalid) as refusal:
        place(url)

    assert "a.example" not in str(refusal.value)


def test_a_public_url_is_read_as_it_will_be_asked():
    found = place("https://A.Example:443/m/a.safetensors?token=s#top")

    assert ("a.example", "/m/a.safetensors?token=s") == (found.host, found.target)
    assert "/" == place("https://a.example").target
    assert "xn--bcher-kva.example" == place("https://xn--bcher-kva.example/").host


def test_the_name_of_a_file_is_the_last_part_of_the_path():
    assert "a b.safetensors" == file_name("https://a.example/m/a%20b.safetensors?download=true")
    assert "" == file_name("https://a.example/")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "192.168.1.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "not an address",
        "",
    ],
)
def test_an_address_of_our_own_network_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", PUBLIC, "2606:4700::1111"])
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


class Site(BaseHTTPRequestHandler):
    """Answers as its server's table says: path to status, headers and body."""

    def do_GET(self):
        self.server.asked.append((self.headers["Host"], self.path))
        status, headers, body = self.server.pages[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        server.pages, server.asked = {}, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Detour(HTTPConnection):
    """A connection that goes to a site of this machine: what would go to the internet."""

    def __init__(self, host, site):
        super().__init__(host, timeout=5)
        self.site = site

    def connect(self):
        self.sock = socket.create_connection(("127.0.0.1", self.site.server_port), 5)


def web(site, **resolved):
    """The internet: every name is public but for *resolved*, every host is the site."""
    known = {name.replace("_", "."): found for name, found in resolved.items()}
    return Https(
        resolve=lambda host: known.get(host, [PUBLIC]), connect=lambda where, _: Detour(where.host, site)
    )


def read(internet, url):
    with internet.open(url) as download:
        return download.name, download.size, b"".join(download.chunks)


def test_a_file_comes_with_its_size_and_the_name_it_is_given(site):
    given = "attachment; filename*=UTF-8''%C3%A9.safetensors"
    site.pages["/7?t=s"] = (200, {"Content-Disposition": given}, b"model")

    assert ("é.safetensors", 5, b"model") == read(web(site), "https://a.example/7?t=s")
    assert [("a.example", "/7?t=s")] == site.asked


def test_a_file_without_a_name_has_its_url_s(site):
    site.pages["/m/a.safetensors"] = (200, {}, b"model")

    assert "a.safetensors" == read(web(site), "https://a.example/m/a.safetensors")[0]


def test_redirects_are_followed_to_public_places(site):
    site.pages["/1"] = (302, {"Location": "https://b.example/2"}, b"")
    site.pages["/2"] = (307, {"Location": "/3"}, b"")
    site.pages["/3"] = (200, {}, b"model")

    assert b"model" == read(web(site), "https://a.example/1")[2]
    assert ["a.example", "b.example", "b.example"] == [host for host, _ in site.asked]


@pytest.mark.parametrize(
    "location",
    [
        "http://b.example/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/x",
        "https://user@b.example/x",
        "https://b.example:8080/x",
        "//localhost/x",
        "gopher://b.example/x",
        "https://rebound.example/x",
        "https://half.example/x",
    ],
)
def test_a_redirect_to_another_place_is_not_followed(site, location):
    site.pages["/1"] = (302, {"Location": location}, b"")
    internet = web(site, rebound_example=["10.0.0.7"], half_example=[PUBLIC, "127.0.0.1"])

    with pytest.raises((Invalid, Failed)):
        read(internet, "https://a.example/1")

    assert 1 == len(site.asked)


def test_redirects_end(site):
    site.pages["/1"] = (302, {"Location": "/1"}, b"")

    with pytest.raises(Failed, match="more than 5 redirects"):
        read(web(site), "https://a.example/1")


@pytest.mark.parametrize("found", [["127.0.0.1"], ["::1"], [PUBLIC, "10.1.2.3"], []])
def test_a_name_that_stands_for_a_private_address_is_not_asked(site, found):
    with pytest.raises(Failed, match="is not a public host"):
        read(web(site, a_example=found), "https://a.example/1")

    assert [] == site.asked


@pytest.mark.parametrize(
    ("status", "kind"), [(404, Failed), (401, Failed), (206, Failed), (429, Busy), (503, Busy)]
)
def test_what_is_no_file_says_so(site, status, kind):
    site.pages["/1"] = (status, {}, b"secret words")

    with pytest.raises(kind, match=rf"^a\.example answers {status}$"):
        read(web(site), "https://a.example/1")


def test_a_compressed_file_is_refused(site):
    site.pages["/1"] = (200, {"Content-Encoding": "gzip"}, b"x")

    with pytest.raises(Failed, match="compressed"):
        read(web(site), "https://a.example/1")


def test_a_file_that_breaks_off_says_its_size(site):
    site.pages["/1"] = (200, {"Content-Length": "100"}, b"x" * 10)

    with web(site).open("https://a.example/1") as download:
        assert 100 == download.size
        assert 10 == sum(map(len, download.chunks))


def test_what_is_not_http_can_be_tried_later():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with closing(server.accept()[0]) as link:
                link.recv(1000)
                link.sendall(b"SSH-2.0\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        internet = Https(
            resolve=lambda _: [PUBLIC],
            connect=lambda *_: HTTPConnection("127.0.0.1", port, timeout=5),
        )
        with pytest.raises(Busy, match=r"a\.example does not answer"):
            read(internet, "https://a.example/1")
        thread.join()


def test_a_name_that_nobody_knows_can_be_tried_later():
    with pytest.raises(Busy, match=r"nobody\.invalid cannot be found"):
        addresses("nobody.invalid")


@pytest.fixture
def certified(site, tmp_path):
    """The site by https, with a certificate for model.example alone; the context that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "model.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("model.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "site.pem"
    file.write_bytes(pem + private)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(file)
    site.socket = served.wrap_socket(site.socket, server_side=True)
    return site, ssl.create_default_context(cadata=pem.decode())


def by_https(certified):
    site, trust = certified
    site.pages["/a.safetensors"] = (200, {}, b"model")
    return Https(
        resolve=lambda _: [PUBLIC],
        connect=lambda where, _: CheckedConnection(
            where.host, ["127.0.0.2", "127.0.0.1"], trust, site.server_port
        ),
    )


def test_the_connection_goes_to_a_checked_address_under_the_name_of_the_host(certified):
    assert b"model" == read(by_https(certified), "https://model.example/a.safetensors")[2]
    assert f"model.example:{certified[0].server_port}" == certified[0].asked[0][0]


def test_a_host_that_cannot_prove_its_name_is_not_asked(certified):
    with pytest.raises(Failed, match=r"other\.example cannot prove who it is"):
        read(by_https(certified), "https://other.example/a.safetensors")

    assert [] == certified[0].asked


def test_where_no_checked_address_answers_it_can_be_tried_later():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    internet = Https(
        resolve=lambda _: [PUBLIC],
        connect=lambda where, _: CheckedConnection(
            where.host, ["127.0.0.1"], ssl.create_default_context(), port
        ),
    )

    with pytest.raises(Busy, match="does not answer"):
        read(internet, "https://model.example/a.safetensors")
