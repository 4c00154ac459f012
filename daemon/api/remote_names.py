"""URLs as they come from a client (§1.3): checked, and freed of the user name and password they may carry.

Refuses to repeat any part of a URL in a message but its scheme.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from daemon.api.problem import field_error
from daemon.schema import MAX_URL
from jobqueue.secrets import Credential

_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%|^{}]+")
_HOST = re.compile(r"[A-Za-z0-9._~%\-]+|[0-9A-Fa-f:.]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_USER, MAX_PASSWORD = 300, 65_535
PORTS = {"http": 80, "https": 443}


def parse_remote_name(url: str, field: str) -> tuple[str, Sequence[Credential]]:
    """The URL to keep, and the credentials for its server that it carried.

    Raises RefusedError unless we can fetch it: http or https, plain ASCII.
    """
    if len(url) > MAX_URL:
        raise field_error(field, f"the URL is longer than {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise field_error(field, "this is not a URL: its host or port cannot be read") from None
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        name = scheme if _SCHEME.fullmatch(scheme) else "a name without scheme"
        raise field_error(field, f"cannot fetch {name}: only http and https URLs")
    if not _URL.fullmatch(url):
        raise field_error(field, "the URL holds a character that must be percent-encoded (a host name: punycode)")
    if not host or not _HOST.fullmatch(host) or port == 0:
        raise field_error(field, "the URL names no valid host and port")
    userinfo, at, place = parts.netloc.rpartition("@")
    if not at:
        return url, ()
    stripped = url.replace(f"//{parts.netloc}", f"//{place}", 1)  # and nothing else: it may be signed
    shown_host = f"[{host}]" if ":" in host else host
    origin = f"{scheme}://{shown_host}:{port or PORTS[scheme]}"
    return stripped, _credentials(userinfo, origin, field)


def _credentials(userinfo: str, origin: str, field: str) -> Sequence[Credential]:
    """One for each scheme the server may ask for."""
    name, _, secret = userinfo.partition(":")
    try:
        user, password = unquote(name, errors="strict"), unquote(secret, errors="strict")
    except UnicodeDecodeError:
        raise field_error(field, "the user name or password in the URL is not UTF-8") from None
    if not user:
        raise field_error(field, "the URL holds a password without a user name")
    check_user(user, "BASIC", field)
    check_password(password, field)
    return [Credential("SERVER", scheme, user, password, origin) for scheme in ("BASIC", "DIGEST")]


def check_user(user: str, scheme: str, field: str) -> None:
    """Raise RefusedError unless this can be sent by the scheme (RFC 7617 §2, RFC 7616 §3.4)."""
    if len(user) > MAX_USER:
        raise field_error(field, f"a user name has at most {MAX_USER} characters", "BG_E_USERNAME_TOO_LARGE")
    if _CONTROL.search(user):
        raise field_error(field, "a user name holds no control characters")
    if scheme == "BASIC" and ":" in user:
        raise field_error(field, "a user name for the scheme basic holds no colon")


def check_password(password: str, field: str) -> None:
    """Raise RefusedError unless this can be sent."""
    if len(password) > MAX_PASSWORD:
        raise field_error(field, f"a password has at most {MAX_PASSWORD} characters", "BG_E_PASSWORD_TOO_LARGE")
    if _CONTROL.search(password):
        raise field_error(field, "a password holds no control characters")
