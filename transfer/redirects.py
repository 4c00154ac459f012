"""Which redirects are followed, where to, and with which headers: pure (spec/service.md §5.4, RFC 9110 §15.4).

Refuses to send anything.
"""

from collections.abc import Mapping
from urllib.parse import SplitResult, urldefrag, urljoin, urlsplit

from transfer.errors import RedirectRefusedError, shown
from transfer.request import RedirectPolicy

STATUSES = frozenset({301, 302, 303, 307, 308})
SECRETS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Header fields that belong to one origin and never follow a redirect to another."""
PORTS = {"http": 80, "https": 443}


def follow(url: str, status: int, location: str | None, *, policy: RedirectPolicy, may_downgrade: bool) -> str:
    """The URL that a redirect with `status` and `location`, seen at `url`, leads to. Raises RedirectRefusedError."""
    target = _join(url, location)
    if policy is RedirectPolicy.DISALLOW:
        raise _refusal(url, status, target, "redirects are not allowed for this file")
    if not location:
        raise _refusal(url, status, target, "the redirect does not say where to")
    origin = origin_of(target)
    if origin is None:
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
    return {name: value for name, value in headers.items() if name.lower() not in SECRETS}


def method_after(method: str, status: int) -> str:
    """The method of the next request (RFC 9110 §15.4.2-15.4.9)."""
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):
        return "GET"
    return method


def origin_of(url: str) -> tuple[str, str, int] | None:
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
        return urldefrag(urljoin(url, location or "")).url
    except ValueError:
        return location or ""


def _refusal(url: str, status: int, target: str, why: str) -> RedirectRefusedError:
    return RedirectRefusedError(f"cannot fetch {shown(url)}: {why}", status, target)
