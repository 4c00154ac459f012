"""The check of a certificate by our own hand: every flaw by itself, and what of it may be forgiven."""

import datetime as dt
import ipaddress
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from transfer.certificates import check
from transfer.flaw import FlawError

NOW = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
KINDS = ("CERT_DATE_INVALID", "CERT_CN_INVALID", "CERT_WRONG_USAGE", "UNKNOWN_CA")
NAMES = ("files.example", "*.wild.example", "127.0.0.1", "::1")


@cache
def key(_of: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    subject: str,
    issuer: str = "root",
    *,
    names: tuple[str, ...] = NAMES,
    usages: list[x509.ObjectIdentifier] | None = None,
    is_ca: bool | None = None,
    start: dt.datetime = NOW - DAY,
    end: dt.datetime = NOW + DAY,
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(name(issuer), name(subject), key(subject).public_key(), 1 + len(subject))
    builder = builder.not_valid_before(start).not_valid_after(end)
    if names:
        found: list[x509.GeneralName] = []
        for text in names:
            is_address = ":" in text or text[0].isdigit()
            found.append(x509.IPAddress(ipaddress.ip_address(text)) if is_address else x509.DNSName(text))
        builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    return builder.sign(key(issuer), hashes.SHA256())


ROOT = certificate("root", names=(), is_ca=True, start=NOW - 300 * DAY, end=NOW + 300 * DAY)


def flaw(*chain: x509.Certificate, host: str = "files.example", forgiven: tuple[str, ...] = ()) -> str | None:
    try:
        check([one.public_bytes(Encoding.DER) for one in chain], host, [ROOT], frozenset(forgiven), NOW)
    except FlawError as error:
        return error.kind
    return None


@pytest.mark.parametrize(
    "host", ["files.example", "FILES.example", "files.example.", "a.wild.example", "127.0.0.1", "::1"]
)
def test_a_good_certificate_for_the_host_is_good(host: str) -> None:
    assert flaw(certificate("leaf"), host=host) is None


@pytest.mark.parametrize(
    "host",
    ["", "example", "a.files.example", "wild.example", "a.b.wild.example", "127.0.0.2", "::2", "files.example.x"],
)
def test_a_certificate_for_another_host_is_not(host: str) -> None:
    assert flaw(certificate("leaf"), host=host) == "CERT_CN_INVALID"


@pytest.mark.parametrize("names", [(), ("*",), ("*.example",), ("f*.example",), ("files.*",)])
def test_a_name_is_in_full_and_a_wildcard_is_a_whole_label_of_three(names: tuple[str, ...]) -> None:
    leaf = certificate("files.example", names=names)
    assert flaw(leaf, forgiven=("UNKNOWN_CA",)) == "CERT_CN_INVALID"


FLAWED = {
    "CERT_DATE_INVALID": certificate("leaf", end=NOW - DAY / 2),
    "CERT_CN_INVALID": certificate("leaf", names=("other.example",)),
    "CERT_WRONG_USAGE": certificate("leaf", usages=[ExtendedKeyUsageOID.CLIENT_AUTH]),
    "UNKNOWN_CA": certificate("leaf", issuer="stranger"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_flaw_is_forgiven_by_its_own_kind_only(kind: str) -> None:
    others = tuple(other for other in KINDS if other != kind)
    assert flaw(FLAWED[kind]) == kind
    assert flaw(FLAWED[kind], forgiven=others) == kind
    assert flaw(FLAWED[kind], forgiven=(kind,)) is None


def test_a_certificate_with_every_flaw_needs_every_pardon() -> None:
    leaf = certificate(
        "leaf", "leaf", names=("x.example",), usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], start=NOW + DAY / 2
    )
    assert flaw(leaf, forgiven=KINDS) is None
    for kind in KINDS:
        assert flaw(leaf, forgiven=tuple(other for other in KINDS if other != kind)) == kind


def test_a_server_s_usage_among_others_is_enough() -> None:
    assert flaw(certificate("leaf", usages=[ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])) is None


def test_only_an_authority_can_stand_between_the_root_and_a_server() -> None:
    leaf = certificate("leaf", issuer="middle")
    assert flaw(leaf, certificate("middle", is_ca=True)) is None
    assert flaw(leaf) == "UNKNOWN_CA"
    for middle in (certificate("middle"), certificate("middle", is_ca=False)):
        assert flaw(leaf, middle) == "UNKNOWN_CA"
    assert flaw(leaf, certificate("middle", issuer="stranger", is_ca=True)) == "UNKNOWN_CA"


def test_a_forged_signature_is_no_issue_of_the_root() -> None:
    impostor = certificate("leaf", issuer="stranger")
    genuine = certificate("leaf")
    forged = bytearray(genuine.public_bytes(Encoding.DER))
    forged[-1] ^= 1
    for blob in (impostor.public_bytes(Encoding.DER), bytes(forged)):
        with pytest.raises(FlawError):
            check([blob], "files.example", [ROOT], frozenset({"CERT_WRONG_USAGE"}), NOW)


@pytest.mark.parametrize("chain", [[], [b""], [b"nonsense"]])
def test_what_cannot_be_read_is_refused_whatever_is_forgiven(chain: list[bytes]) -> None:
    with pytest.raises(FlawError) as caught:
        check(chain, "files.example", [ROOT], frozenset(KINDS), NOW)
    assert caught.value.kind == ""
