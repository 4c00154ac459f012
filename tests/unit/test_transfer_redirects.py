import pytest

from transfer.errors import RedirectRefusedError
from transfer.redirects import carried, follow, method_after, readable, without_userinfo
from transfer.request import RedirectPolicy

SECRET = (
    "AUTHORIZATION", "Cookie", "Proxy-Authorization", "X-Auth-Token", "Api-Key", "X-ApiKey", "X-API_KEY",
    "X-Access-Key", "PRIVATE-TOKEN", "X-Client-Secret", "X-Password", "X-Passwd", "X-Credentials", "X-Session-Id",
    "X-Amz-Signature",
)  # fmt: skip


def target(url: str, location: str | None, *, may_downgrade: bool = False) -> str:
    return follow(url, 302, location, policy=RedirectPolicy.SILENT, may_downgrade=may_downgrade)


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("http://a/x/y", "z", "http://a/x/z"),
        ("http://a/x", "/y?q=1#fragment", "http://a/y?q=1"),
        ("http://a/x", "//b/y", "http://b/y"),
        ("http://a/x", "https://a/x", "https://a/x"),
        ("http://a/x", "//user:password@b/y", "http://b/y"),
        ("http://a/x", "/ä ö", "http://a/ä ö"),
        ("http://a/x", "http://bücher/y", "http://bücher/y"),
    ],
)
def test_a_location_is_resolved_against_where_it_was_seen(url: str, location: str, expected: str) -> None:
    assert target(url, location) == expected


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "ftp://a/x",
        "file:///etc/passwd",
        "data:,x",
        "http://a:99999/",
        "http://[bad/",
        "http://a b/",
        "http:///x",
        "http:x",
    ],
)
def test_a_redirect_to_nowhere_or_away_from_http_is_refused(location: str | None) -> None:
    with pytest.raises(RedirectRefusedError):
        target("http://a/x", location)


def test_https_leads_to_http_only_when_allowed() -> None:
    with pytest.raises(RedirectRefusedError):
        target("https://a/x", "http://a/x")
    assert target("https://a/x", "http://a/x", may_downgrade=True) == "http://a/x"


def test_a_forbidden_redirect_names_its_status_and_target() -> None:
    with pytest.raises(RedirectRefusedError) as caught:
        follow("http://a/x", 307, "/y", policy=RedirectPolicy.DISALLOW, may_downgrade=False)
    assert (caught.value.status, caught.value.target) == (307, "http://a/y")


def test_secrets_stay_with_the_origin_they_were_given_for() -> None:
    headers = dict.fromkeys(SECRET, "x") | {"X-Other": "o", "Accept": "a"}
    assert carried(headers, "http://a/x", "http://a:80/y") == headers
    for other in ("http://b/x", "https://a/x", "http://a:81/x"):
        assert carried(headers, "http://a/x", other) == {"X-Other": "o", "Accept": "a"}


def test_the_method_changes_as_http_says() -> None:
    assert method_after("POST", 302) == "GET"
    assert method_after("PUT", 303) == "GET"
    assert method_after("HEAD", 303) == "HEAD"
    assert method_after("POST", 307) == "POST"
    assert method_after("REPORT", 301) == "REPORT"


def test_a_user_and_password_in_a_url_are_taken_out() -> None:
    assert without_userinfo("https://u:p@h:1/a?b=c@d") == "https://h:1/a?b=c@d"
    assert without_userinfo("https://h/a@b") == "https://h/a@b"


def test_a_location_is_text_whatever_its_bytes_are() -> None:
    assert readable("/ä%20".encode()) == "/ä%20"
    assert readable(b"/\xe4 %20?a=b") == "/%E4 %20?a=b"
