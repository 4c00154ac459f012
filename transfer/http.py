"""The real Source: HTTP over aiohttp, and the only user of aiohttp's client.

Owns the session, the header fields of a request, the redirect loop, all network timeouts, and the one translation of
aiohttp's exceptions into transfer.errors. Refuses to judge replies (reply.py) and redirects (redirects.py).
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from urllib.request import getproxies

import aiohttp
from yarl import URL

from transfer import redirects
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
from transfer.proxies import choose
from transfer.request import Settings
from transfer.segments import Span
from transfer.source import Ask, Head, Reply

READ_BUFFER = 1 << 20
"""aiohttp reads ahead up to twice this while a write is under way: the socket and the disk work at the same time."""
OURS = frozenset({"accept-encoding", "range", "if-range", "host", "content-length", "transfer-encoding", "connection"})
"""Header fields that say how we transfer; a caller's own value would break resuming."""


class HttpSource:
    """One client session for all transfers; made inside a running loop, closed by `close()`.

    `settings` may be replaced while running: the next request goes by them.
    `ca_bundle`: a PEM file of trusted roots instead of the system's; `connections_per_host` 0 = no limit.
    """

    def __init__(self, settings: Settings, *, ca_bundle: str = "", connections_per_host: int = 0) -> None:
        self.settings = settings
        queue_watch = aiohttp.TraceConfig()
        queue_watch.on_connection_queued_start.append(_stop_clock)
        queue_watch.on_connection_queued_end.append(_start_clock)
        context = ssl.create_default_context(cafile=ca_bundle or None)
        context.set_alpn_protocols(["http/1.1"])
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=connections_per_host, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            trace_configs=[queue_watch],
        )

    async def close(self) -> None:
        await self._session.close()

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Reply]:
        """The reply to `ask` after redirects; its connection lives as long as the block. Raises TransferError."""
        response = await self._follow(ask)
        try:
            yield Reply(_head_of(response), _Body(response))
        finally:
            response.close()

    async def probe(self, ask: Ask) -> int | None:
        """The size of the remote file by HEAD, None when it cannot be learnt. Raises no TransferError."""
        ask = replace(ask, method="HEAD", span=None)
        with suppress(TransferError):
            async with self.open(ask) as reply:
                length = reply.head.get("content-length") or ""
                encoding = reply.head.get("content-encoding") or "identity"
                if reply.head.status == 200 and encoding == "identity" and length.isdecimal():
                    return int(length)
        return None

    async def _follow(self, ask: Ask) -> aiohttp.ClientResponse:
        """The first reply that is not a redirect, at most `max_redirects` hops away."""
        url, method, headers = ask.url, ask.method, ask.headers
        hops = 0
        while True:
            response = await self._send(url, method, self._fields(headers, ask), ask)
            if response.status not in redirects.STATUSES:
                return response
            response.release()
            location = response.headers.get("Location")
            target = redirects.follow(
                url, response.status, location, policy=ask.redirects, may_downgrade=ask.may_downgrade
            )
            if hops == self.settings.max_redirects:
                raise redirects.too_many(ask.url, response.status, target, hops)
            headers = redirects.carried(headers, url, target)
            method = redirects.method_after(method, response.status)
            url = target
            hops += 1

    async def _send(self, url: str, method: str, fields: Mapping[str, str], ask: Ask) -> aiohttp.ClientResponse:
        own = self.settings
        limit = own.connect_timeout + own.stall_timeout
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=own.connect_timeout, sock_read=own.stall_timeout)
        with _translated(url):
            target = _address(url)
            async with asyncio.timeout(limit) as clock:
                return await self._session.request(
                    method,
                    target,
                    headers=fields,
                    proxy=choose(ask.proxy, url, getproxies()),
                    allow_redirects=False,
                    timeout=timeout,
                    trace_request_ctx=(clock, limit),
                )

    def _fields(self, headers: Mapping[str, str], ask: Ask) -> dict[str, str]:
        fields = {"accept": "*/*", "user-agent": self.settings.user_agent}
        fields |= {name.lower(): value for name, value in headers.items() if name.lower() not in OURS}
        fields["accept-encoding"] = "identity"
        if ask.span is not None:
            fields["range"] = _range_field(ask.span)
            if ask.validators.strong:
                fields["if-range"] = ask.validators.strong
        return fields


class _Body(AsyncIterator[bytes]):
    """The body as it arrives, in whatever pieces the connection has ready."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._url = str(response.url)
        self._content = response.content
        self._broken: BaseException | None = None

    async def __anext__(self) -> bytes:
        with _translated(self._url):
            if self._broken is not None:
                raise self._broken
            try:
                chunk = await self._content.readany()
            except (aiohttp.ClientError, OSError) as error:
                chunk = self._rescue(error)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def _rescue(self, error: BaseException) -> bytes:
        """What had arrived before the connection broke: aiohttp would let it go, but these bytes are ours."""
        self._broken = error
        self._content.set_exception(None)  # type: ignore[arg-type]
        chunk = self._content.read_nowait()
        if not chunk:
            raise error
        return chunk


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """The one place where what aiohttp, the socket and TLS raise becomes a TransferError."""
    name = shown(url)
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError) as error:
        raise TlsFailedError(f"cannot fetch {name}: {_tls_reason(error)}") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise NameNotResolvedError(f"cannot fetch {name}: the host name cannot be resolved") from error
    except aiohttp.ClientConnectorError as error:
        raise ConnectFailedError(f"cannot connect to {name}: {error.os_error.strerror or 'no connection'}") from error
    except aiohttp.ConnectionTimeoutError as error:
        raise ConnectFailedError(f"cannot connect to {name}: no connection within the connect timeout") from error
    except TimeoutError as error:  # aiohttp's for a silent socket, asyncio's for a head that takes too long
        raise StalledError(f"cannot fetch {name}: the server went silent") from error
    except aiohttp.ClientHttpProxyError as error:
        raise HttpStatusError(f"cannot fetch {name}: the proxy answered {error.status}", error.status) from error
    except aiohttp.ClientResponseError as error:
        raise GarbledReplyError(f"cannot fetch {name}: the reply is not HTTP") from error
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as error:
        raise ConnectionLostError(
            f"cannot fetch {name}: the connection closed before the reply was complete"
        ) from error
    except ValueError as error:
        raise BadReplyError(f"cannot ask for {name}: the address or a header field is not valid HTTP") from error


def _tls_reason(error: Exception) -> str:
    cause = getattr(error, "certificate_error", error)
    return getattr(cause, "verify_message", "") or "no secure connection could be made"


def _head_of(response: aiohttp.ClientResponse) -> Head:
    fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
    return Head(str(response.url), response.status, fields, response.reason or "", time.time())


def _address(url: str) -> URL:
    """As the caller wrote it when it is plain ASCII, so that signed addresses survive; quoted otherwise."""
    return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)


def _range_field(span: Span) -> str:
    return f"bytes={span.start}-{'' if span.end is None else span.end - 1}"


async def _stop_clock(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    """Waiting for a free connection to a host is not the server's silence."""
    clock: asyncio.Timeout = context.trace_request_ctx[0]
    clock.reschedule(None)


async def _start_clock(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    clock, limit = context.trace_request_ctx
    clock.reschedule(asyncio.get_running_loop().time() + limit)
