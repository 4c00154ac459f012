import pytest

from transfer.errors import RedirectRefusedError
from transfer.redirects import carried, follow, method_after
from transfer.request import RedirectPolicy


def target(url: str, location: str | None, *, may_downgrade: bool = False) -> str:
    return follow(url, 302, location, policy=RedirectPolicy.SILENT, may_downgrade=may_downgrade)


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("http://a/x/y", "z", "http://a/x/z"),
        ("http://a/x", "/y?q=1#fragment", "http://a/y?q=1"),
        ("http://a/x", "//b/y", "http://b/y"),
        ("http://a/x", "https://a/x", "https://a/x"),
    ],
)
def test_a_location_is_resolved_against_where_it_was_seen(url: str, location: str, expected: str) -> None:
    assert target(url, location) == expected


@pytest.mark.parametrize(
    "location", [None, "", "ftp://a/x", "file:///etc/passwd", "data:,x", "http://a:99999/", "http://[bad/"]
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
    headers = {"AUTHORIZATION": "x", "Cookie": "y", "Proxy-Authorization": "z", "X-Other": "o"}
    assert carried(headers, "http://a/x", "http://a:80/y") == headers
    for other in ("http://b/x", "https://a/x", "http://a:81/x"):
        assert carried(headers, "http://a/x", other) == {"X-Other": "o"}


def test_the_method_changes_as_http_says() -> None:
    assert method_after("POST", 302) == "GET"
    assert method_after("PUT", 303) == "GET"
    assert method_after("HEAD", 303) == "HEAD"
    assert method_after("POST", 307) == "POST"
    assert method_after("REPORT", 301) == "REPORT"
