"""Which proxy a request goes through (spec/service.md §5.10)."""

import pytest

from transfer.errors import InvalidProxyError
from transfer.proxies import choose
from transfer.request import ProxyRule

HTTP, HTTPS = "http://files.example.org/a", "https://files.example.org/a"


@pytest.mark.parametrize(
    ("servers", "url", "expected"),
    [
        ("proxy", HTTP, "http://proxy"),
        ("proxy:3128", HTTPS, "http://proxy:3128"),
        ("http://proxy:3128", HTTP, "http://proxy:3128"),
        ("https=secure:1 http=plain:2", HTTP, "http://plain:2"),
        ("https=secure:1 http=plain:2", HTTPS, "http://secure:1"),
        ("https=https://secure:1", HTTPS, "https://secure:1"),
        ("https=secure", HTTP, None),
        ("http=a;b, c", HTTPS, "http://b"),
        ("[::1]:8080", HTTP, "http://[::1]:8080"),
    ],
)
def test_an_override_list_names_the_first_server_for_the_scheme(servers: str, url: str, expected: str | None) -> None:
    assert choose(ProxyRule("OVERRIDE", servers), url, {"http": "http://env"}) == expected


@pytest.mark.parametrize("servers", ["ftp=proxy", "http://user:pass@proxy", "proxy:port", "a\tb\x00", "http://"])
def test_a_list_that_cannot_be_read_is_an_error(servers: str) -> None:
    with pytest.raises(InvalidProxyError):
        choose(ProxyRule("OVERRIDE", servers), HTTP, {})


@pytest.mark.parametrize(
    ("bypass", "host", "is_direct"),
    [
        ("*.example.org", "files.example.org", True),
        ("*.example.org", "example.org", False),
        ("files.example.org", "FILES.example.org", True),
        ("example.org", "files.example.org", False),
        ("<local>", "intranet", True),
        ("<local>", "files.example.org", False),
        ("a b 10.0.0.1", "10.0.0.1", True),
        ("", "files.example.org", False),
    ],
)
def test_the_bypass_list_takes_hosts_leading_wildcards_and_local_names(bypass: str, host: str, is_direct: bool) -> None:
    chosen = choose(ProxyRule("OVERRIDE", "proxy", bypass), f"http://{host}/a", {})
    assert (chosen is None) is is_direct


def test_the_environment_decides_unless_the_job_says_otherwise() -> None:
    environment = {"http": "proxy:8080", "no": "example.com, .internal,10.0.0.1"}
    assert choose(ProxyRule(), HTTP, environment) == "http://proxy:8080"
    assert choose(ProxyRule(), HTTPS, environment) is None
    assert choose(ProxyRule("AUTODETECT"), HTTP, environment) == "http://proxy:8080"
    assert choose(ProxyRule("NO_PROXY"), HTTP, environment) is None
    for host in ("example.com", "a.example.com", "host.internal", "10.0.0.1"):
        assert choose(ProxyRule(), f"http://{host}/", environment) is None
    assert choose(ProxyRule(), HTTP, {"http": "http://p", "no": "*"}) is None
