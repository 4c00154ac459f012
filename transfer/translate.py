"""The one place where what aiohttp, the socket and TLS raise becomes a TransferError.

A cause is never chained: the texts of aiohttp hold whole URLs, and those may hold secrets.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from transfer.errors import (
    BadReplyError,
    ConnectFailedError,
    ConnectionLostError,
    GarbledReplyError,
    HttpStatusError,
    NameNotResolvedError,
    StalledError,
    TlsFailedError,
    TransferError,
    shown,
)
from transfer.redirects import origin_of
from transfer.reply import parse_retry_after
from transfer.source import Head
from transfer.tls import ADVICE, kind_of


class ProxyUnreachableError(Exception):
    """No connection to the proxy: another one may do. The text says why."""


class ProxyRefusedError(Exception):
    """The proxy makes no tunnel without a password (407); `challenges` are its Proxy-Authenticate fields."""

    def __init__(self, challenges: list[str]) -> None:
        super().__init__()
        self.challenges = challenges


@contextmanager
def translated(url: str, proxy: str | None = None) -> Iterator[None]:
    """Around whatever may touch the network for `url`. Raises TransferError and the two exceptions about the proxy."""
    try:
        yield
    except aiohttp.ClientError as error:
        raise _client_error(error, url, proxy) from None
    except TimeoutError as error:  # of a head that takes too long
        raise _silent(error, url) from None
    except OSError as error:
        raise _lost(error, url) from None
    except ValueError:
        raise BadReplyError(f"cannot ask for {shown(url)}: the address or a header field is not valid HTTP") from None


def _client_error(error: aiohttp.ClientError, url: str, proxy: str | None) -> Exception:
    if proxy is not None and (failure := _proxy_failure(error, url, proxy)) is not None:
        return failure
    return next(build(error, url) for kind, build in _MEANINGS if isinstance(error, kind))


def _proxy_failure(error: aiohttp.ClientError, url: str, proxy: str) -> Exception | None:
    match error:
        case aiohttp.ClientConnectorError() if _is_about(error, url, proxy):
            return ProxyUnreachableError(f"cannot connect to the proxy {shown(proxy)}: {_why(error)}")
        case aiohttp.ConnectionTimeoutError():
            return ProxyUnreachableError(f"cannot connect through the proxy {shown(proxy)}: nothing in time")
        case aiohttp.ClientHttpProxyError(status=407):
            return ProxyRefusedError(error.headers.getall("Proxy-Authenticate", []) if error.headers else [])
        case aiohttp.ClientHttpProxyError():
            head = Head(url, error.status, tuple((error.headers or {}).items()), received=time.time())
            message = f"cannot fetch {shown(url)}: the proxy answered {error.status}"
            return HttpStatusError(message, error.status, parse_retry_after(head))
        case _:
            return None


def _no_connection(error: Any, url: str) -> TransferError:  # noqa: ANN401 - a ClientConnectorError
    """Nobody there, or no TLS, or gone in the middle of it."""
    cause = _cause(error)
    if (kind := kind_of(cause)) is not None:
        return _tls_failed(url, kind)
    if isinstance(cause, ConnectionResetError | BrokenPipeError):
        return _lost(cause, url)
    return ConnectFailedError(f"cannot connect to {shown(url)}: {_why(error)}")


def _lost(error: BaseException, url: str) -> TransferError:
    """The connection went away. TLS 1.3: only then it is said that our certificate was not good enough."""
    if kind := kind_of(error):
        return _tls_failed(url, kind)
    return ConnectionLostError(f"cannot fetch {shown(url)}: the connection closed before the reply was complete")


def _is_about(error: aiohttp.ClientConnectorError, url: str, proxy: str) -> bool:
    """Whether it was the connection to the proxy that failed, not the tunnel through it."""
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientConnectorDNSError):
        return True
    failed = (error.host, error.port)
    return failed == _place(proxy) != _place(url)


def _place(url: str) -> tuple[str, int] | None:
    origin = origin_of(url)
    return None if origin is None else origin[1:]


def _tls_failed(url: str, kind: str) -> TlsFailedError:
    return TlsFailedError(f"cannot connect to {shown(url)} securely: {ADVICE[kind]}", kind)


def _silent(_error: BaseException, url: str) -> StalledError:
    return StalledError(f"cannot fetch {shown(url)}: the server went silent")


def _cause(error: aiohttp.ClientConnectorError) -> BaseException:
    found: BaseException = getattr(error, "certificate_error", None) or error.os_error
    return found


def _why(error: aiohttp.ClientConnectorError) -> str:
    cause = _cause(error)
    if (kind := kind_of(cause)) is not None:
        return ADVICE[kind]
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name cannot be resolved"
    return (cause.strerror if isinstance(cause, OSError) else None) or "no connection"


def _late(_error: BaseException, url: str) -> ConnectFailedError:
    return ConnectFailedError(f"cannot connect to {shown(url)}: no connection within the connect timeout")


def _nameless(_error: BaseException, url: str) -> NameNotResolvedError:
    return NameNotResolvedError(f"cannot fetch {shown(url)}: the host name cannot be resolved")


def _garbled(_error: BaseException, url: str) -> GarbledReplyError:
    return GarbledReplyError(f"cannot fetch {shown(url)}: the reply is not HTTP")


def _unaskable(_error: BaseException, url: str) -> BadReplyError:
    return BadReplyError(f"cannot ask for {shown(url)}: the address or a header field is not valid HTTP")


_MEANINGS: tuple[tuple[type[aiohttp.ClientError], Callable[[Any, str], TransferError]], ...] = (
    (aiohttp.ClientConnectorDNSError, _nameless),
    (aiohttp.ClientConnectorError, _no_connection),
    (aiohttp.ConnectionTimeoutError, _late),
    (aiohttp.ClientResponseError, _garbled),
    (aiohttp.InvalidURL, _unaskable),
    (aiohttp.ClientError, _lost),
)
"""The first that fits."""
