"""Which proxies a request may go through (spec/service.md §5.10)."""

import pytest

from transfer.errors import InvalidProxyError
from transfer.proxies import DEAD_FOR, DeadProxies, Proxy, candidates
from transfer.request import ProxyRule

HTTP, HTTPS = "http://files.example.org/a", "https://files.example.org/a"


def urls(rule: ProxyRule, url: str, environment: dict[str, str] | None = None) -> list[str]:
    return [proxy.url for proxy in candidates(rule, url, environment or {})]


@pytest.mark.parametrize(
    ("servers", "url", "expected"),
    [
        ("proxy", HTTP, ["http://proxy"]),
        ("proxy:3128", HTTPS, ["http://proxy:3128"]),
        ("http://proxy:3128", HTTP, ["http://proxy:3128"]),
        ("https=secure:1 http=plain:2", HTTP, ["http://plain:2"]),
        ("https=secure:1 http=plain:2", HTTPS, ["http://secure:1"]),
        ("https=https://secure:1", HTTPS, ["https://secure:1"]),
        ("https=secure", HTTP, []),
        ("http=a;b, c b", HTTPS, ["http://b", "http://c"]),
        ("a http=b c", HTTP, ["http://a", "http://b", "http://c"]),
        ("[::1]:8080", HTTP, ["http://[::1]:8080"]),
    ],
)
def test_an_override_list_names_the_servers_for_the_scheme_in_order(
    servers: str, url: str, expected: list[str]
) -> None:
    assert urls(ProxyRule("OVERRIDE", servers), url, {"http": "http://env"}) == expected


@pytest.mark.parametrize("servers", ["ftp=proxy", "http://user:pass@proxy", "proxy:port", "a\tb\x00", "http://"])
def test_a_list_that_cannot_be_read_is_an_error(servers: str) -> None:
    with pytest.raises(InvalidProxyError) as caught:
        urls(ProxyRule("OVERRIDE", servers), HTTP)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("bypass", "host", "is_direct"),
    [
        ("*.example.org", "files.example.org", True),
        ("*.example.org", "example.org", False),
        ("files.example.org", "FILES.example.org", True),
        ("example.org", "files.example.org", False),
        ("files.*", "files.example.org", False),
        ("*", "files.example.org", True),
        ("<local>", "intranet", True),
        ("<LOCAL>", "intranet", True),
        ("<local>", "files.example.org", False),
        ("<local>", "[::1]", False),
        ("a b 10.0.0.1", "10.0.0.1", True),
        ("[fe80::1]", "[fe80::1]", True),
        ("fe80::1", "[FE80::1]", True),
        ("[fe80::1]:80", "[fe80::1]", True),
        ("[fe80::1]:81", "[fe80::1]", False),
        ("files.example.org:80", "files.example.org", True),
        ("files.example.org:443", "files.example.org", False),
        ("*.example.org:8080", "files.example.org:8080", True),
        ("", "files.example.org", False),
    ],
)
def test_the_bypass_list_takes_hosts_leading_wildcards_and_local_names(bypass: str, host: str, is_direct: bool) -> None:
    assert (urls(ProxyRule("OVERRIDE", "proxy", bypass), f"http://{host}/a") == []) is is_direct


def test_the_environment_decides_unless_the_job_says_otherwise() -> None:
    environment = {"http": "proxy:8080", "no": "example.com, .internal,10.0.0.1 ::1,*.wild, host.example:81"}
    assert urls(ProxyRule(), HTTP, environment) == ["http://proxy:8080"]
    assert urls(ProxyRule(), HTTPS, environment) == []
    assert urls(ProxyRule("AUTODETECT"), HTTP, environment) == ["http://proxy:8080"]
    assert urls(ProxyRule("NO_PROXY"), HTTP, environment) == []
    excepted = ("example.com", "a.example.com", "host.internal", "10.0.0.1", "[::1]", "a.wild", "host.example:81")
    for host in excepted:
        assert urls(ProxyRule(), f"http://{host}/", environment) == []
    for host in ("notexample.com", "10.0.0.11", "host.example"):
        assert urls(ProxyRule(), f"http://{host}/", environment) != []
    assert urls(ProxyRule(), HTTP, {"http": "http://p", "no": "*"}) == []


def test_a_password_in_the_environment_is_a_credential_and_not_in_the_address() -> None:
    (proxy,) = candidates(ProxyRule(), HTTP, {"http": "http://ann:p%40ss%3A@[::1]:3128/"})
    assert proxy.url == "http://[::1]:3128"
    assert {(one.target, one.scheme, one.user, one.password) for one in proxy.credentials} == {
        ("PROXY", "BASIC", "ann", "p@ss:"),
        ("PROXY", "DIGEST", "ann", "p@ss:"),
    }
    assert "p@ss" not in repr(proxy)


@pytest.mark.parametrize("address", ["socks5://proxy", "http://", "http://ann:secret@proxy:99999", "http://[secret"])
def test_an_environment_that_cannot_be_used_is_an_error_without_its_words(address: str) -> None:
    with pytest.raises(InvalidProxyError) as caught:
        candidates(ProxyRule(), HTTP, {"http": address})
    assert "secret" not in str(caught.value)


def test_a_dead_proxy_is_tried_last_until_its_time_is_over() -> None:
    one, two, three = (Proxy(f"http://{name}") for name in ("one", "two", "three"))
    dead = DeadProxies()
    dead.add(one, now=100)
    assert dead.last([one, two, three], now=101) == [two, three, one]
    dead.add(two, now=110)
    assert dead.last([one, two, three], now=111) == [three, one, two]
    assert dead.last([one], now=111) == [one]
    assert dead.last([one, two, three], now=100 + DEAD_FOR) == [one, three, two]
