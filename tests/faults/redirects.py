"""Redirects of all kinds: which are followed, and what goes along (spec/service.md §5.4)."""

from typing import Any

from tests.faults.fault import CUT, Credential, Fails, Fault, Identical, Retries
from tests.origin_auth import Auth

REFUSED = Fails("BG_E_HTTP_ERROR_302")
SECRETS = ("authorization", "cookie", "x-api-key", "proxy-authorization")
HEADERS = {"custom_headers": "Authorization: Bearer s\r\nCookie: a=b\r\nX-Api-Key: k\r\nX-Plain: p\r\n"}
THERE: dict[str, dict[str, Any]] = {"there": {}}
DOWN = {"redirect": "{plain}{path}-there"}
LEADS_NOWHERE = {
    "file": "file:///etc/hostname",
    "data": "data:text/plain,hello",
    "ftp": "ftp://127.0.0.1/a",
    "javascript": "javascript:alert(1)",
    "unparsable": "http://[::1/a",
    "no-host": "http:///a",
    "bad-port": "http://127.0.0.1:99999999/a",
}

FAULTS = {
    f"redirect-{status}": Fault(
        f"{status} to the file", Identical(), {"redirect": "{good}{path}-there", "redirect_status": status}, THERE
    )
    for status in (301, 302, 303, 307, 308)
}
FAULTS |= {
    f"redirect-to-{name}": Fault(f"leads to {location}", REFUSED, {"redirect": location})
    for name, location in LEADS_NOWHERE.items()
}
FAULTS |= {
    "redirect-relative": Fault("a relative Location", Identical(), {"redirect": ".{path}-there"}, THERE),
    "redirect-query": Fault("a Location of a query only", Identical(), {"hops": 1}),
    "redirect-no-scheme": Fault(
        "a Location without a scheme", Identical(), {"redirect": "//{authority}{path}-there"}, THERE
    ),
    "redirect-fragment": Fault("a Location with a fragment", Identical(), {"redirect": "{good}{path}-there#x"}, THERE),
    "redirect-ten": Fault("ten in a row", Identical(), {"hops": 10}),
    "redirect-eleven": Fault("eleven in a row", REFUSED, {"hops": 11}),
    "redirect-two-hundred": Fault("two hundred in a row", REFUSED, {"hops": 200, "redirect_status": 302}),
    "redirect-loop": Fault("to itself", Fails("BG_E_HTTP_ERROR_301"), {"redirect": "{path}", "redirect_status": 301}),
    "redirect-ring": Fault(
        "two that lead to each other", REFUSED, {"redirect": "{path}-there"}, {"there": {"redirect": "{path}"}}
    ),
    "redirect-no-location": Fault("no Location", REFUSED, {"redirect": ""}),
    "redirect-cut": Fault(
        "to a file that breaks off", Identical(), {"redirect": "{other}{path}-there"}, {"there": CUT}
    ),
    "redirect-to-not-found": Fault("to nothing", Fails("BG_E_HTTP_ERROR_404"), {"redirect": "{good}/nothing-is-here"}),
    "redirect-to-dead": Fault(
        "to where nobody listens",
        Retries("BG_E_CONNECT_FAILURE"),
        {"redirect": "{dead}{path}"},
        by_proxy=Retries("BG_E_HTTP_ERROR_502"),
    ),
    "redirect-elsewhere": Fault(
        "to another host: no secrets go along",
        Identical(),
        {"redirect": "{other}{path}-there"},
        {"there": {"rejects": SECRETS}},
        job=HEADERS,
    ),
    "redirect-another-port": Fault(
        "to another port of the host: no secrets go along",
        Identical(),
        {"redirect": "{secure}{path}-there"},
        {"there": {"rejects": SECRETS}},
        job=HEADERS,
    ),
    "redirect-same-origin": Fault(
        "on the same origin: the secrets go along",
        Fails("BG_E_HTTP_ERROR_400"),
        {"redirect": "{good}{path}-there"},
        {"there": {"rejects": ("authorization",)}},
        job=HEADERS,
    ),
    "redirect-there-and-back": Fault(
        "to another host and back: the secrets do not come back",
        Identical(),
        {"redirect": "{other}{path}-there"},
        {"there": {"redirect": "{good}{path}-back"}, "back": {"rejects": ("authorization", "cookie")}},
        job=HEADERS,
    ),
    "redirect-userinfo": Fault(
        "a Location with a password in it: it is not used",
        Identical(),
        {"redirect": "{other-as-ann}{path}-there"},
        {"there": {"rejects": ("authorization",)}},
    ),
    "redirect-down": Fault("https to http", REFUSED, DOWN, THERE, only="https"),
    "redirect-down-allowed": Fault(
        "https to http, which the owner allows",
        Identical(),
        DOWN,
        THERE,
        job={"security_flags": ["REDIRECT_ALLOW_HTTPS_TO_HTTP"]},
        only="https",
    ),
    "redirect-up": Fault("http to https", Identical(), {"redirect": "{secure}{path}-there"}, THERE, only="http"),
    "redirect-disallowed": Fault(
        "one, which the owner forbids",
        REFUSED,
        {"redirect": "{good}{path}-there"},
        THERE,
        job={"security_flags": ["REDIRECT_DISALLOW"]},
    ),
    "redirect-reported": Fault(
        "one, which the owner wants to know of",
        Identical(),
        {"redirect": "{good}{path}-there"},
        THERE | {"there": CUT},
        job={"security_flags": ["REDIRECT_ALLOW_REPORT"]},
    ),
    "redirect-credentials": Fault(
        "to another host that asks for the password",
        Fails("BG_E_HTTP_ERROR_401"),
        {"redirect": "{other}{path}-there"},
        {"there": {"auth": Auth()}},
        credentials=(Credential("server", "basic"),),
    ),
    "redirect-300": Fault(
        "300 with a Location", Fails("BG_E_HTTP_ERROR_300"), {"redirect": "{path}-there", "redirect_status": 300}, THERE
    ),
    "redirect-305": Fault(
        "305 with a Location", Fails("BG_E_HTTP_ERROR_305"), {"redirect": "{path}-there", "redirect_status": 305}, THERE
    ),
}
