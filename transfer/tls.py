"""TLS contexts: what of a server's certificate is checked, our own certificate, and what a failed handshake means.

Owns the contexts, one for each different terms, and the kinds of TlsFailedError. Refuses to relax more than was asked:
each relaxation forgives its own flaw only. Sends nothing.
"""

import asyncio
import datetime as dt
import os
import re
import ssl
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from transfer.errors import TlsFailedError
from transfer.flaw import FlawError
from transfer.request import TlsTerms

if TYPE_CHECKING:
    from cryptography import x509

MOST_CONTEXTS = 64
NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME (openssl/x509_vfy.h): Python has no name for it."""
BEYOND_OPENSSL = frozenset({"UNKNOWN_CA", "CERT_WRONG_USAGE"})
"""Relaxations that OpenSSL cannot make on their own."""
_KINDS = {
    **dict.fromkeys((2, 18, 19, 20, 21, 24, 27, 28, 33), "UNKNOWN_CA"),
    **dict.fromkeys((9, 10), "CERT_DATE_INVALID"),
    **dict.fromkeys((62, 64), "CERT_CN_INVALID"),
    26: "CERT_WRONG_USAGE",
}
"""X509_V_ERR_* of openssl/x509_vfy.h."""
_ABOUT_OURS = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|NO_CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED"
    r"|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED)\]"
)
"""Alerts a server sends about the certificate of its client (RFC 8446 §6.2, RFC 5246 §7.2.2)."""
ADVICE = {
    "UNKNOWN_CA": "its certificate is not issued by a trusted authority; trust that authority or allow unknown ones",
    "CERT_DATE_INVALID": "its certificate is expired or not valid yet; check the clock or allow invalid dates",
    "CERT_CN_INVALID": "its certificate is for another host name; check the address or allow other names",
    "CERT_WRONG_USAGE": "its certificate is not meant for servers; renew it or allow wrong usage",
    "CLIENT_CERT_NEEDED": "it wants a client certificate, or another one than the job has; set it for the job",
    "": "no secure connection could be made; the server may not speak TLS, or no version we do",
}


class ClientCertificateNeededError(ssl.SSLError):
    """The handshake failed over our certificate."""


class Stream(ssl.SSLObject):
    """One connection: it remembers whether the stream ended properly, and where its bytes come from and go."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    is_ended = False
    """The server said that nothing follows (close_notify): what came before is all there is (RFC 8446 §6.1)."""

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002, ANN401 - as in ssl.SSLObject
        found = super().read(len, buffer)
        if not found:
            self.is_ended = True
        return found

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            # before TLS 1.3 a server that misses our certificate has only this general alert, after showing its own
            if error.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and self.cipher() is not None:
                raise ClientCertificateNeededError(*error.args) from error
            raise
        cast("Context", self.context).check(self)


class Context(ssl.SSLContext):
    """A client's context whose connections are checked by `certificates` where OpenSSL's check is too coarse."""

    sslobject_class = Stream
    forgiven: frozenset[str] = frozenset()
    is_checked_here = False
    roots: "Sequence[x509.Certificate]" = ()

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401 - as in ssl.SSLContext
        found = super().wrap_bio(incoming, outgoing, *args, **options)
        stream = cast("Stream", found)
        stream.incoming, stream.outgoing = incoming, outgoing
        return stream

    def check(self, connection: ssl.SSLObject) -> None:
        """After the handshake and before the first byte of a request. Raises FlawError."""
        if self.is_checked_here:
            from transfer.certificates import check  # 8 MiB that most never need

            presented = _presented(connection)
            check(presented, connection.server_hostname or "", self.roots, self.forgiven, dt.datetime.now(dt.UTC))


class Contexts:
    """A context for each different terms, the last used of them: a connection is shared by one context only."""

    def __init__(self, ca_bundle: str = "") -> None:
        self._ca_bundle = ca_bundle
        self._plain = _context(ca_bundle, TlsTerms())
        self._others: OrderedDict[TlsTerms, Context] = OrderedDict()
        self._making = asyncio.Lock()

    async def get(self, terms: TlsTerms) -> Context:
        """Raises TlsFailedError when the client certificate cannot be used."""
        if terms == TlsTerms():
            return self._plain
        async with self._making:
            if terms not in self._others:
                self._others[terms] = await asyncio.to_thread(_context, self._ca_bundle, terms)
                if len(self._others) > MOST_CONTEXTS:
                    self._others.popitem(last=False)
            self._others.move_to_end(terms)
            return self._others[terms]


def kind_of(error: BaseException | None) -> str | None:
    """The kind of TlsFailedError for what a handshake (or the first read after it) raised; None = it is none."""
    match error:
        case FlawError(kind=kind):
            return kind
        case ssl.SSLCertVerificationError(verify_code=code):
            return _KINDS.get(code, "")
        case ClientCertificateNeededError():
            return "CLIENT_CERT_NEEDED"
        case OSError() if _ABOUT_OURS.search(str(error)):  # aiohttp keeps no more than the text of a failed read
            return "CLIENT_CERT_NEEDED"
        case ssl.SSLError():
            return ""
        case _:
            return None


def _context(ca_bundle: str, terms: TlsTerms) -> Context:
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_bundle:
        context.load_verify_locations(ca_bundle)
    else:
        context.load_default_certs()
    context.check_hostname = "CERT_CN_INVALID" not in terms.forgiven
    if "CERT_DATE_INVALID" in terms.forgiven:
        context.verify_flags |= NO_CHECK_TIME
    if terms.forgiven & BEYOND_OPENSSL:
        context.roots = [] if "UNKNOWN_CA" in terms.forgiven else _roots(context, ca_bundle)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.forgiven, context.is_checked_here = terms.forgiven, True
    if terms.certificate:
        _load(context, terms)
    return context


def _load(context: ssl.SSLContext, terms: TlsTerms) -> None:
    """OpenSSL takes a certificate from files only: this one has no name and never reaches a disk."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{terms.certificate}\n{terms.private_key}\n")
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")  # else it would ask on the terminal
        except (OSError, ValueError):
            raise TlsFailedError("cannot use the job's client certificate", "CLIENT_CERT_NEEDED") from None


def _roots(context: ssl.SSLContext, ca_bundle: str) -> "list[x509.Certificate]":
    """The trusted roots: OpenSSL reads those of a directory only when it meets them."""
    from cryptography import x509  # as above

    found = context.get_ca_certs(binary_form=True)
    folder = ssl.get_default_verify_paths().capath
    if not ca_bundle and folder is not None:
        for entry in os.scandir(folder):
            if re.fullmatch(r"[0-9a-f]{8}\.\d+", entry.name):
                with open(entry.path, encoding="ascii", errors="replace") as file:
                    found += [ssl.PEM_cert_to_DER_cert(file.read())]
    roots = []
    for blob in dict.fromkeys(found):
        try:
            roots.append(x509.load_der_x509_certificate(blob))
        except ValueError:
            continue
    return roots


def _presented(connection: ssl.SSLObject) -> list[bytes]:
    """The chain as the server sent it: public from Python 3.13."""
    if hasattr(connection, "get_unverified_chain"):
        return list(connection.get_unverified_chain())
    chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined] # noqa: SLF001
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in chain or ()]
