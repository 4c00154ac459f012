"""Which proxy a request goes through: a job's rules (spec/service.md §5.10) over the service's environment. Pure."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from transfer.errors import InvalidProxyError
from transfer.request import ProxyRule

_ENTRY = re.compile(
    r"(?:(?P<of>https?)=)?(?:(?P<scheme>https?)://)?(?P<server>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d+))?/?"
)


def choose(rule: ProxyRule, url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy's URL, None = straight to the server. Raises InvalidProxyError for a list that cannot be read.

    `environment`: the service's own proxies by scheme, with the hosts it excepts under "no" (urllib's getproxies).
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    match rule.usage:
        case "NO_PROXY":
            return None
        case "OVERRIDE":
            return None if _is_bypassed(host, rule.bypass.split()) else _from_list(rule.servers, parts.scheme)
        case _:  # PRECONFIG; AUTODETECT finds what the environment has: there is no discovery service to ask
            proxy = environment.get(parts.scheme)
            excepted = [entry.strip() for entry in environment.get("no", "").split(",")]
            if not proxy or _is_excepted(host, excepted):
                return None
            return proxy if "://" in proxy else f"http://{proxy}"


def _from_list(servers: str, scheme: str) -> str | None:
    """The first server of the list that serves the scheme; a bare name serves all."""
    entries = [_ENTRY.fullmatch(entry) for entry in servers.replace(",", " ").replace(";", " ").split()]
    for found in entries:
        if found is None or None in entries:
            raise InvalidProxyError("cannot read the job's list of proxies: [proto=][proto://]server[:port], by spaces")
        if found["of"] in {None, scheme}:
            port = f":{found['port']}" if found["port"] else ""
            return f"{found['scheme'] or 'http'}://{found['server']}{port}"
    return None


def _is_bypassed(host: str, entries: list[str]) -> bool:
    for entry in entries:
        pattern = entry.lower()
        if pattern == "<local>" and "." not in host and ":" not in host:
            return True
        if pattern == host or (pattern.startswith("*") and host.endswith(pattern[1:])):
            return True
    return False


def _is_excepted(host: str, entries: list[str]) -> bool:
    """The convention of no_proxy: a name stands for itself and all below it, `*` for everything."""
    names = [entry.lower().lstrip(".").partition(":")[0] for entry in entries if entry]
    return any(name in {"*", host} or host.endswith(f".{name}") for name in names)
