"""The check of a server's certificate when OpenSSL's own cannot be relaxed as asked: name, dates, usage and issuer.

OpenSSL stops at the first flaw, and its checks of issuer and usage cannot be had apart. Here each flaw is looked for on
its own, so that forgiving one leaves the others in force. Stricter than OpenSSL where they differ: the name is never
taken from the subject, and a certificate that cannot be parsed is refused. Pure.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from transfer.flaw import FlawError


def check(
    chain: Sequence[bytes], host: str, roots: Iterable[x509.Certificate], forgiven: frozenset[str], now: dt.datetime
) -> None:
    """Raises FlawError for the first flaw of `chain` (DER, the server's own first) that is not forgiven."""
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain]
        flaws = _flaws(certificates, host, roots, forgiven, now)  # issuer last: it is looked for within the dates
        flaw = next((kind for kind in flaws if kind not in forgiven), None)
    except (ValueError, IndexError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        flaw = ""
    if flaw is not None:
        raise FlawError(flaw)


def _flaws(
    chain: Sequence[x509.Certificate],
    host: str,
    roots: Iterable[x509.Certificate],
    forgiven: frozenset[str],
    now: dt.datetime,
) -> Iterable[str]:
    leaf = chain[0]
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        yield "CERT_DATE_INVALID"
    if not _is_named(leaf, host):
        yield "CERT_CN_INVALID"
    if not _is_for_servers(leaf):
        yield "CERT_WRONG_USAGE"
    if "UNKNOWN_CA" not in forgiven and not _is_issued(chain, roots, forgiven, now):
        yield "UNKNOWN_CA"


def _is_named(leaf: x509.Certificate, host: str) -> bool:
    """RFC 9525 §6.3: a DNS name, `*` only as its whole first label, or exactly the IP address."""
    names = _names(leaf)
    if names is None:
        return False
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        wanted = host.lower().rstrip(".").split(".")
        for name in names.get_values_for_type(x509.DNSName):
            labels = name.lower().rstrip(".").split(".")
            is_wild = labels[0] == "*" and len(labels) > 2 and len(wanted) == len(labels)
            if wanted == labels or (is_wild and wanted[1:] == labels[1:]):
                return True
        return False


def _is_for_servers(leaf: x509.Certificate) -> bool:
    """As OpenSSL's purpose `sslserver`: what is not restricted is allowed."""
    for extension in leaf.extensions:
        match extension.value:
            case x509.ExtendedKeyUsage() as usages if ExtendedKeyUsageOID.SERVER_AUTH not in usages:
                return False
            case x509.KeyUsage() as usage if not (
                usage.digital_signature or usage.key_encipherment or usage.key_agreement
            ):
                return False
            case _:
                continue
    return True


def _is_issued(
    chain: Sequence[x509.Certificate], roots: Iterable[x509.Certificate], forgiven: frozenset[str], now: dt.datetime
) -> bool:
    """Whether a chain leads to a trusted root, whatever the certificate is for and whom it names."""
    leaf = chain[0]
    names = _names(leaf)
    subject = None if names is None else _any_subject(names)
    if subject is None:
        return False
    if "CERT_DATE_INVALID" in forgiven:
        now = min(max(now, leaf.not_valid_before_utc), leaf.not_valid_after_utc)
    authorities = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    leaves = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    try:
        policy = PolicyBuilder().store(Store(list(roots))).time(now)
        policy = policy.extension_policies(ca_policy=authorities, ee_policy=leaves)
        policy.build_server_verifier(subject).verify(leaf, list(chain[1:]))
    except (VerificationError, ValueError):
        return False
    return True


def _names(leaf: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _any_subject(names: x509.SubjectAlternativeName) -> x509.DNSName | x509.IPAddress | None:
    """A name that the certificate does have: the verifier insists on one, and names are judged elsewhere."""
    for name in names:
        match name:
            case x509.DNSName(value=text):
                return x509.DNSName(text.replace("*", "any", 1))
            case x509.IPAddress(value=IPv4Address() | IPv6Address()):
                return name
            case _:
                continue
    return None
