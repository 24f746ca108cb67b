"""An issuer of tokens on loopback, as GitHub Actions has one: its configuration, its keys, over TLS."""

import datetime
import hashlib
import http.server
import ipaddress
import json
import ssl
import threading
import time
from contextlib import contextmanager

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CONFIGURATION, KEYS = "/.well-known/openid-configuration", "/.well-known/jwks"


def rsa_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public(key, kid="first", **changes):
    """The key as an issuer publishes it."""
    document = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**document, "kid": kid, "use": "sig", "alg": "RS256", **changes}


def certificate(key):
    """A certificate for 127.0.0.1 that its own key vouches for."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


class Issuer:
    """What it publishes may be changed; what it was asked is kept."""

    def __init__(self, key):
        self.key = key
        self.published = [public(key)]
        self.documents = {}
        self.asked = []
        self.url = self.host = self.thumbprint = ""

    def begin(self, port, der):
        self.host = f"127.0.0.1:{port}"
        self.url = f"https://{self.host}"
        self.thumbprint = hashlib.sha1(der).hexdigest()

    def document(self, path):
        """The body at *path*, or None where there is nothing."""
        if path in self.documents:
            return self.documents[path]
        if path == CONFIGURATION:
            return json.dumps({"issuer": self.url, "jwks_uri": self.url + KEYS}).encode()
        return json.dumps({"keys": self.published}).encode() if path == KEYS else None

    def claims(self, **changes):
        """What GitHub would say of a push to main, with what a test changes; None takes a claim out."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": "sts.amazonaws.com",
            "sub": "repo:acme@1/models@2:ref:refs/heads/main",
            "ref": "refs/heads/main",
            "repository": "acme/models",
            "iat": now - 5,
            "nbf": now - 600,
            "exp": now + 300,
        }
        return {name: value for name, value in {**usual, **changes}.items() if value is not None}

    def token(self, *, kid="first", key=None, algorithm="RS256", **changes):
        secret = None if algorithm == "none" else key or self.key
        named = {"kid": kid} if kid else None
        return jwt.encode(self.claims(**changes), secret, algorithm=algorithm, headers=named)


@contextmanager
def serving(issuer, folder):
    """Serve the issuer's documents until the block ends."""
    own = rsa_key()
    made = certificate(own)
    secret = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = folder / "issuer.pem"
    chain.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = _Server(("127.0.0.1", 0), _handler(issuer))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    issuer.begin(server.server_address[1], made.public_bytes(serialization.Encoding.DER))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that does not trust the certificate hangs up: that is its right."""


def _handler(issuer):
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self):
            issuer.asked.append(self.path)
            body = issuer.document(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    return Handler
