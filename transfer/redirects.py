"""Which redirects are followed, where to, and with which headers: pure (spec/service.md §5.4, RFC 9110 §15.4).

Refuses to send anything.
"""

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, urldefrag, urljoin, urlsplit, urlunsplit

from yarl import URL

from transfer.errors import RedirectRefusedError, shown
from transfer.request import RedirectPolicy

_HOST = re.compile(r"[A-Za-z0-9._~:%-]+")
STATUSES = frozenset({301, 302, 303, 307, 308})
SECRETS = re.compile(
    r"auth|cookie|token|secret|passw|api[-_]?key|access[-_]?key|credential|session|signature", re.IGNORECASE
)
"""Names of header fields that belong to one origin and never follow a redirect to another."""
Origin = tuple[str, str, int]
"""Scheme, host and port."""
ASCII = "".join(map(chr, range(128)))
PORTS = {"http": 80, "https": 443}


def follow(url: str, status: int, location: str | None, *, policy: RedirectPolicy, may_downgrade: bool) -> str:
    """The URL that a redirect with `status` and `location`, seen at `url`, leads to. Raises RedirectRefusedError."""
    target = _join(url, location)
    if policy is RedirectPolicy.DISALLOW:
        raise _refusal(url, status, target, "redirects are not allowed for this file")
    if not location:
        raise _refusal(url, status, target, "the redirect does not say where to")
    origin = origin_of(target)
    if origin is None or not _is_address(target):
        raise _refusal(url, status, target, "the redirect does not lead to an http or https address")
    if urlsplit(url).scheme == "https" and origin[0] == "http" and not may_downgrade:
        raise _refusal(url, status, target, "the redirect leads from https to http")
    return target


def too_many(url: str, status: int, target: str, limit: int) -> RedirectRefusedError:
    return _refusal(url, status, target, f"there were more than {limit} redirects")


def carried(headers: Mapping[str, str], url: str, target: str) -> dict[str, str]:
    """The caller's header fields that may go along from `url` to `target`."""
    if origin_of(url) == origin_of(target):
        return dict(headers)
    return {name: value for name, value in headers.items() if not SECRETS.search(name)}


def method_after(method: str, status: int) -> str:
    """The method of the next request (RFC 9110 §15.4.2-15.4.9)."""
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):
        return "GET"
    return method


def address(url: str) -> URL:
    """As it was written when it is plain ASCII, so that signed addresses survive; else quoted. Raises ValueError."""
    return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)


def without_userinfo(url: str) -> str:
    """The same URL without a user and password: those are given apart, or not at all."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url


def readable(location: bytes) -> str:
    """A Location as it came: UTF-8 where it is (names and paths are encoded later), else its bytes percent-encoded."""
    try:
        return location.decode()
    except UnicodeDecodeError:
        return quote(location, safe=ASCII)


def origin_of(url: str) -> Origin | None:
    """Scheme, host and port of an http or https URL, None for anything else."""
    try:
        parts: SplitResult = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        return None
    if scheme not in PORTS or not host:
        return None
    return scheme, host, port or PORTS[scheme]


def _join(url: str, location: str | None) -> str:
    try:
        if (parts := urlsplit(location or "")).scheme and not parts.netloc:
            return location or ""  # urljoin takes http:///a for a relative address (RFC 9110 §4.2.1 forbids it)
        is_whole = bool(urlsplit(location or "").scheme)  # urljoin would take the host of `http:///x` from `url`
        target = location if is_whole and location else urljoin(url, location or "")
        return without_userinfo(urldefrag(target).url)
    except ValueError:
        return location or ""


def _is_address(url: str) -> bool:
    try:
        return _HOST.fullmatch(address(url).raw_host or "") is not None
    except ValueError:
        return False


def _refusal(url: str, status: int, target: str, why: str) -> RedirectRefusedError:
    return RedirectRefusedError(f"cannot fetch {shown(url)}: {why}", status, target)
