"""Which proxies a request may go through: a job's rules (spec/service.md §5.10) over the service's environment. Pure.

Also which of them were dead lately. Refuses to connect to anything.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from transfer.errors import InvalidProxyError
from transfer.request import Credential, ProxyRule

_ENTRY = re.compile(
    r"(?:(?P<of>https?)=)?(?:(?P<scheme>https?)://)?(?P<server>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>\d{1,5}))?/?"
)
PORTS = {"http": 80, "https": 443}
DEAD_FOR = 60.0
"""Seconds a proxy that could not be reached is tried last."""
MOST_DEAD = 256


@dataclass(frozen=True, slots=True)
class Proxy:
    """`url`: scheme, host and port. `credentials`: those its own address in the environment had."""

    url: str
    credentials: tuple[Credential, ...] = ()


def candidates(rule: ProxyRule, url: str, environment: Mapping[str, str]) -> tuple[Proxy, ...]:
    """The proxies for `url` in the order to try them; empty = straight to the server. Raises InvalidProxyError.

    `environment`: the service's own proxies by scheme, with the hosts it excepts under "no" (urllib's getproxies).
    """
    parts = urlsplit(url)
    host, port = (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme, 0)
    match rule.usage:
        case "NO_PROXY":
            return ()
        case "OVERRIDE":
            listed = _listed(rule.servers, parts.scheme)
            return () if _is_bypassed(host, port, rule.bypass.split()) else listed
        case _:  # PRECONFIG; AUTODETECT finds what the environment has: there is no discovery service to ask
            proxy = environment.get(parts.scheme)
            excepted = environment.get("no", "").replace(",", " ").split()
            return () if not proxy or _is_excepted(host, port, excepted) else (_configured(proxy),)


class DeadProxies:
    """Those that could not be reached lately; `now` in seconds of any steady clock."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, proxy: Proxy, now: float) -> None:
        self._until = {url: until for url, until in self._until.items() if until > now}
        if len(self._until) < MOST_DEAD:
            self._until[proxy.url] = now + DEAD_FOR

    def last(self, proxies: Sequence[Proxy], now: float) -> list[Proxy]:
        """The same proxies, the dead ones after the others."""
        return sorted(proxies, key=lambda proxy: self._until.get(proxy.url, now) > now)


def _listed(servers: str, scheme: str) -> tuple[Proxy, ...]:
    """The servers of the list for the scheme; a bare name serves all."""
    entries = [_ENTRY.fullmatch(entry) for entry in servers.replace(",", " ").replace(";", " ").split()]
    found: dict[str, Proxy] = {}
    for entry in entries:
        if entry is None:
            raise InvalidProxyError("cannot read the job's list of proxies: [proto=][proto://]server[:port], by spaces")
        if entry["of"] in {None, scheme}:
            port = f":{entry['port']}" if entry["port"] else ""
            url = f"{entry['scheme'] or 'http'}://{entry['server']}{port}"
            found[url] = Proxy(url)
    return tuple(found.values())


def _configured(address: str) -> Proxy:
    """A proxy of the environment; a user and password in its address are for it alone."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = parts = None
    if parts is None or not host or parts.scheme not in PORTS:
        raise InvalidProxyError("cannot use the proxy of the service's environment: [http://]server[:port]")
    credentials: tuple[Credential, ...] = ()
    if parts.username:
        user, password = unquote(parts.username), unquote(parts.password or "")
        credentials = tuple(Credential("PROXY", scheme, user, password) for scheme in ("DIGEST", "BASIC"))
    name = f"[{host}]" if ":" in host else host
    return Proxy(f"{parts.scheme}://{name}" + (f":{port}" if port else ""), credentials)


def _is_bypassed(host: str, port: int, entries: Iterable[str]) -> bool:
    """Hosts, addresses, one leading wildcard, `<local>` for names without a dot; each may name a port."""
    for entry in entries:
        if entry.lower() == "<local>" and "." not in host and ":" not in host:
            return True
        pattern = _pattern(entry, port)
        if pattern is not None and (pattern == host or (pattern.startswith("*") and host.endswith(pattern[1:]))):
            return True
    return False


def _is_excepted(host: str, port: int, entries: Iterable[str]) -> bool:
    """The convention of no_proxy: a name stands for itself and all below it, `*` for everything."""
    names = [(_pattern(entry, port) or "").removeprefix("*.").lstrip(".") for entry in entries]
    return any(name and (name in {"*", host} or host.endswith(f".{name}")) for name in names)


def _pattern(entry: str, port: int) -> str | None:
    """The host of an entry in lower case; None when it is for another port."""
    text = entry.lower().rpartition("://")[2]
    host, colon, number = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")) or number.endswith("]"):
        host, number = text, ""
    return host.strip("[]") if number in {"", str(port)} else None
