"""Servers and proxies that want a password, and proxies that do not do their work."""

from typing import Any

from tests.faults.fault import CUT, Credential, Fails, Fault, Identical, Retries
from tests.origin_auth import Auth

BASIC = (Credential("server", "basic"),)
DIGEST = (Credential("server", "digest"),)
BOTH = BASIC + DIGEST
WRONG_BASIC = (Credential("server", "basic", password="wrong"),)
WRONG_DIGEST = (Credential("server", "digest", password="wrong"),)
UNAUTHORIZED = Fails("BG_E_HTTP_ERROR_401")
UNADMITTED = Fails("BG_E_HTTP_ERROR_407")
ALGORITHMS = ("MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess", "")


def _asks(*schemes: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - options of Auth
    return {"auth": Auth(schemes=schemes, **options)}


def _by(*names: str) -> dict[str, Any]:
    """A job with proxies of its own."""
    return {"proxy": {"usage": "OVERRIDE", "list": " ".join(f"{{{name}}}" for name in names)}}


FAULTS = {
    f"digest-auth-{name.lower() or 'no-algorithm'}": Fault(
        f"Digest by {name or 'the default'}", Identical(), _asks("Digest", algorithms=(name,)), credentials=DIGEST
    )
    for name in ALGORITHMS
}
FAULTS |= {
    "basic-auth": Fault("Basic", Identical(), _asks("Basic"), credentials=BASIC),
    "basic-auth-cut": Fault("Basic, breaks off", Identical(), _asks("Basic") | CUT, credentials=BASIC),
    "basic-auth-wrong": Fault("Basic, wrong password", UNAUTHORIZED, _asks("Basic"), credentials=WRONG_BASIC),
    "auth-nothing-given": Fault("Basic and Digest, no password", UNAUTHORIZED, _asks("Basic", "Digest")),
    "auth-other-scheme-given": Fault("Basic, a password for Digest", UNAUTHORIZED, _asks("Basic"), credentials=DIGEST),
    "auth-unknown-scheme": Fault("a scheme that nobody has", UNAUTHORIZED, _asks("Negotiate"), credentials=BOTH),
    "auth-no-challenge": Fault("401 without a challenge", UNAUTHORIZED, _asks(), credentials=BOTH),
    "auth-userinfo": Fault("the password is in the URL", Identical(), _asks("Basic"), remote="{as-ann}{path}"),
    "auth-userinfo-digest": Fault(
        "the password is in the URL, Digest", Identical(), _asks("Digest"), remote="{as-ann}{path}"
    ),
    "auth-large-refusal": Fault(
        "a long page along with the challenge", Identical(), _asks("Basic", body=b"w" * 300_000), credentials=BASIC
    ),
    "auth-choice": Fault(
        "Negotiate, Digest and Basic", Identical(), _asks("Negotiate", "Digest", "Basic"), credentials=BOTH
    ),
    "auth-choice-one-field": Fault(
        "the same in one field", Identical(), _asks("Negotiate", "Digest", "Basic", is_one_field=True), credentials=BOTH
    ),
    "auth-choice-basic": Fault(
        "Digest and Basic, a password for Basic", Identical(), _asks("Digest", "Basic"), credentials=BASIC
    ),
    "digest-auth-choice": Fault(
        "Digest by an unknown algorithm, SHA-256 or MD5",
        Identical(),
        _asks("Digest", algorithms=("SHA-256", "MD5")),
        credentials=DIGEST,
    ),
    "digest-auth-cut": Fault("Digest, breaks off", Identical(), _asks("Digest") | CUT, credentials=DIGEST),
    "digest-auth-no-qop": Fault("Digest as in RFC 2069", Identical(), _asks("Digest", qop=""), credentials=DIGEST),
    "digest-auth-more-qop": Fault(
        "Digest with auth and auth-int", Identical(), _asks("Digest", qop="auth-int,auth"), credentials=DIGEST
    ),
    "digest-auth-stale": Fault(
        "the nonce runs out once", Identical(), _asks("Digest", stale_times=1), credentials=DIGEST
    ),
    "digest-auth-wrong": Fault("Digest, wrong password", UNAUTHORIZED, _asks("Digest"), credentials=WRONG_DIGEST),
    "digest-auth-always-stale": Fault(
        "every nonce has run out", UNAUTHORIZED, _asks("Digest", stale_times=10**9), credentials=DIGEST
    ),
    "proxy-basic": Fault(
        "a proxy wants Basic", Identical(), job=_by("proxy-basic"), credentials=(Credential("proxy", "basic"),)
    ),
    "proxy-digest": Fault(
        "a proxy wants Digest", Identical(), job=_by("proxy-digest"), credentials=(Credential("proxy", "digest"),)
    ),
    "proxy-digest-and-server-digest": Fault(
        "proxy and server want Digest, and it breaks off",
        Identical(),
        _asks("Digest") | CUT,
        job=_by("proxy-digest"),
        credentials=(*DIGEST, Credential("proxy", "digest")),
    ),
    "proxy-wrong-password": Fault(
        "the wrong password for a proxy",
        UNADMITTED,
        job=_by("proxy-basic"),
        credentials=(Credential("proxy", "basic", password="wrong"),),
    ),
    "proxy-no-password": Fault("no password for a proxy", UNADMITTED, job=_by("proxy-basic"), credentials=BOTH),
    "proxy-password-stays": Fault(
        "the proxy's password does not reach the server",
        Identical(),
        {"rejects": ("proxy-authorization", "authorization")},
        job=_by("proxy-basic"),
        credentials=(Credential("proxy", "basic"),),
    ),
    "proxy-dead": Fault(
        "nobody listens where the proxy should be", Retries("BG_E_CONNECT_FAILURE"), job=_by("proxy-dead")
    ),
    "proxy-rotates": Fault("the second of two proxies is there", Identical(), job=_by("proxy-dead", "proxy")),
    "proxy-502": Fault("a proxy answers 502", Retries("BG_E_HTTP_ERROR_502"), job=_by("proxy-502")),
    "proxy-403": Fault("a proxy answers 403", Fails("BG_E_HTTP_ERROR_403"), job=_by("proxy-403")),
    "proxy-garbage": Fault(
        "a proxy answers nonsense", Retries("ERROR_WINHTTP_INVALID_SERVER_RESPONSE"), job=_by("proxy-garbage")
    ),
    "proxy-close": Fault("a proxy closes", Retries("BG_E_CONNECTION_CLOSED"), job=_by("proxy-close")),
    "proxy-silence": Fault("a proxy says nothing", Retries("ERROR_WINHTTP_TIMEOUT"), job=_by("proxy-silence")),
    "proxy-breaks": Fault(
        "a proxy closes the tunnel it has just made",
        Retries("BG_E_CONNECTION_CLOSED"),
        job=_by("proxy-breaks"),
        only="https",
    ),
    "proxy-bypassed": Fault(
        "a dead proxy that is not to be used for this host",
        Identical(),
        job={"proxy": {"usage": "OVERRIDE", "list": "{proxy-dead}", "bypass": "127.0.0.1"}},
    ),
}
