"""Certificates of the lying origin: a good one, and one for each way in which a certificate can be wrong.

Made anew for every run (trustme, and cryptography for what trustme refuses to make); nothing is kept.
"""

import datetime as dt
import ipaddress
import ssl
import tempfile
from pathlib import Path
from typing import Literal

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

Kind = Literal["good", "expired", "early", "other-name", "unknown-ca", "self-signed", "client-only"]
HOSTS = ("127.0.0.1", "localhost")
DAY = dt.timedelta(days=1)


class Alerting(ssl.SSLObject):
    """A server's side of a connection that says why a handshake failed, as most do: asyncio writes what
    there is to be said when the handshake wants more to read, and not when it failed.
    """

    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failure = error
            raise ssl.SSLWantReadError from error


class Certificates:
    """One authority that the client trusts, one that it does not."""

    def __init__(self) -> None:
        self._trusted = trustme.CA()
        self._unknown = trustme.CA()
        self._clients = trustme.CA()

    def write_bundle(self, folder: Path) -> str:
        """The path of a PEM file with the trusted root."""
        path = folder / "roots.pem"
        self._trusted.cert_pem.write_to_path(str(path))
        return str(path)

    def server(self, kind: Kind = "good") -> ssl.SSLContext:
        """What a server with such a certificate listens with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.sslobject_class = Alerting
        now = dt.datetime.now(dt.UTC)
        match kind:
            case "good":
                self._trusted.issue_cert(*HOSTS).configure_cert(context)
            case "expired":
                leaf = self._trusted.issue_cert(*HOSTS, not_before=now - 20 * DAY, not_after=now - DAY)
                leaf.configure_cert(context)
            case "early":
                leaf = self._trusted.issue_cert(*HOSTS, not_before=now + DAY, not_after=now + 20 * DAY)
                leaf.configure_cert(context)
            case "other-name":
                self._trusted.issue_cert("elsewhere.example", "127.0.0.9").configure_cert(context)
            case "unknown-ca":
                self._unknown.issue_cert(*HOSTS).configure_cert(context)
            case "self-signed":
                _load(context, *_self_signed())
            case "client-only":
                _load(context, *_client_only(self._trusted))
        return context

    def demanding(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        """A server that wants a certificate of the client, in this version of TLS only."""
        context = self.server()
        context.minimum_version = context.maximum_version = version
        context.verify_mode = ssl.CERT_REQUIRED
        self._clients.configure_trust(context)
        return context

    def without_common_cipher(self) -> ssl.SSLContext:
        """A server that offers only what no client of today takes."""
        context = self.server()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA")
        return context

    def client(self, *, is_known: bool = True) -> dict[str, str]:
        """A client's certificate and private key in PEM, of the authority that `demanding` asks for or of another."""
        leaf = (self._clients if is_known else self._unknown).issue_cert("client@example.org")
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return {"certificate": chain.decode(), "private_key": leaf.private_key_pem.bytes().decode()}


def _names() -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])


def _builder(key: ec.EllipticCurvePrivateKey, issuer: x509.Name, subject: x509.Name) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(_names(), critical=False)
    )


def _load(context: ssl.SSLContext, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    with tempfile.NamedTemporaryFile() as file:
        file.write(private + certificate.public_bytes(serialization.Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name)


def _self_signed() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "myself")])
    return key, _builder(key, name, name).sign(key, hashes.SHA256())


def _client_only(authority: trustme.CA) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A certificate that may be used by clients and not by servers."""
    key = ec.generate_private_key(ec.SECP256R1())
    root = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a client")])
    builder = (
        _builder(key, root.subject, name)
        .add_extension(usage, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return key, builder.sign(signer, hashes.SHA256())
