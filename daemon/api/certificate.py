"""A client certificate as it comes from a client: PEM texts, checked before they are kept. Blocking (it does sums)."""

from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from daemon.api.problem import field_error
from jobqueue.secrets import ClientCertificate


def parse_certificate(certificate: str, private_key: str) -> tuple[ClientCertificate, Mapping[str, str]]:
    """The certificate, and what of it may be shown: `subject`, `sha1` (hex), `not_after` (RFC 3339).

    Raises RefusedError naming the field, never with any of its text.
    """
    try:
        own = x509.load_pem_x509_certificates(certificate.encode())[0]
        public = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        facts = _facts(own)
    except (ValueError, UnsupportedAlgorithm):
        raise field_error("certificate", "this is not a PEM certificate, or a chain of them") from None
    try:
        key = load_pem_private_key(private_key.encode(), password=None)
        belongs = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public
    except TypeError:
        raise field_error("private_key", "the private key is encrypted; give it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise field_error("private_key", "this is not a PEM private key") from None
    if not belongs:
        raise field_error("private_key", "the private key does not belong to the certificate")
    return ClientCertificate(certificate, private_key), facts


def _facts(certificate: x509.Certificate) -> Mapping[str, str]:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "sha1": certificate.fingerprint(SHA1()).hex(),  # noqa: S303 - a name of the certificate, as in BITS
        "not_after": certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
    }
