"""The real Source: HTTP over aiohttp, whose client only this module, body.py and translate.py use.

Owns the session, the header fields of a request, the order of proxies, redirects and passwords, and all network
timeouts. Refuses to judge replies (reply.py), redirects (redirects.py) and challenges (auth.py, dialogue.py).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import cast
from urllib.request import getproxies

import aiohttp
from yarl import URL

from transfer import head as heads
from transfer import redirects
from transfer.body import READ_AHEAD, SEGMENT_AHEAD, Response
from transfer.dialogue import Dialogue, Memory, for_proxy, for_server
from transfer.errors import ConnectFailedError, HttpStatusError, TransferError, shown
from transfer.hosts import Hosts
from transfer.proxies import DeadProxies, Proxy, candidates
from transfer.request import Credential, Settings
from transfer.segments import Span
from transfer.source import Ask, Head, Reply
from transfer.tls import Contexts
from transfer.translate import ProxyRefusedError, ProxyUnreachableError, translated

READ_BUFFER = 1 << 20
"""aiohttp reads ahead up to twice this while a write is under way: the socket and the disk work at the same time."""
OURS = frozenset({"accept-encoding", "range", "if-range", "host", "content-length", "transfer-encoding", "connection"})
"""Header fields that say how we transfer; a caller's own value would break resuming."""
SAFE = frozenset({"GET", "HEAD"})
STALE = 3
"""How often a request is sent again because its connection, which had served before, was closed without a word."""
TO_SERVER, TO_PROXY = "authorization", "proxy-authorization"


class HttpSource:
    """One client session for all transfers; made inside a running loop, closed by `close()`.

    `settings` may be replaced while running: the next request goes by them.
    `ca_bundle`: a PEM file of trusted roots instead of the system's; `connections_per_host` 0 = no limit.
    """

    def __init__(self, settings: Settings, *, ca_bundle: str = "", connections_per_host: int = 0) -> None:
        self.settings = settings
        self.hosts = Hosts(connections_per_host)
        self._contexts = Contexts(ca_bundle)
        self._memory = Memory()
        self._dead = DeadProxies()
        self._system_proxies = getproxies()
        queue_watch = aiohttp.TraceConfig()
        queue_watch.on_connection_queued_start.append(_stop_clock)
        queue_watch.on_connection_queued_end.append(_start_clock)
        queue_watch.on_request_headers_sent.append(_await_head)
        queue_watch.on_connection_reuseconn.append(_reuse)
        queue_watch.on_connection_create_start.append(_create)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=connections_per_host),
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=Response,
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            max_line_size=heads.LONGEST_LINE,
            max_field_size=heads.LONGEST_LINE,
            max_headers=heads.MOST_FIELDS,
            trace_configs=[queue_watch],
        )

    async def close(self) -> None:
        await self._session.close()

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Reply]:
        """The reply to `ask` after redirects; its connection lives as long as the block. Raises TransferError."""
        with self.hosts.connection(ask.url):
            response = await self._follow(ask)
            try:
                body = response.body(self.settings.stall_timeout, SEGMENT_AHEAD if ask.is_segment else READ_AHEAD)
                least = self.settings.take_over_size
                # a segment's connection ends with its claim anyway, and many of them must not fill the memory
                yield Reply(_head_of(response), body, lambda: response.take(min(least, 0) if ask.is_segment else least))
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

    async def _follow(self, ask: Ask) -> Response:
        """The first reply that is not a redirect, at most `max_redirects` hops away."""
        url, method, headers = redirects.without_userinfo(ask.url), ask.method, ask.terms.headers
        hops = 0
        while True:
            response = await self._send(url, method, self._fields(headers, ask), ask)
            if response.status not in redirects.STATUSES:
                return response
            response.release()
            location = next((value for name, value in response.raw_headers if name.lower() == b"location"), b"")
            target = redirects.follow(
                url,
                response.status,
                redirects.readable(location),
                policy=ask.terms.redirects,
                may_downgrade=ask.terms.may_downgrade,
            )
            if hops == self.settings.max_redirects:
                raise redirects.too_many(ask.url, response.status, target, hops)
            headers = redirects.carried(headers, url, target)
            method = redirects.method_after(method, response.status)
            url = target
            hops += 1

    async def _send(self, url: str, method: str, fields: Mapping[str, str], ask: Ask) -> Response:
        """By the first proxy that can be reached, or straight to the server."""
        now = asyncio.get_running_loop().time()
        with translated(url):
            target = redirects.address(url)
            proxies = self._dead.last(candidates(ask.terms.proxy, url, self._system_proxies), now)
        if not proxies:
            return await self._converse(_Leg(target, method, fields, ask))
        reasons = []
        for proxy in proxies:
            try:
                return await self._converse(_Leg(target, method, fields, ask, proxy))
            except ProxyUnreachableError as error:
                self._dead.add(proxy, now)
                reasons.append(str(error))
        raise ConnectFailedError("; ".join(reasons[-3:]))

    async def _converse(self, leg: "_Leg") -> Response:
        """The reply after the challenges that could be answered; a 401 or 407 is one that could not be."""
        server = Dialogue(self._memory, leg.origin, for_server(leg.ask.terms.credentials, leg.url, leg.ask.url))
        gate = Dialogue(self._memory, leg.proxy_url or "", leg.passes)
        own, own_gate = leg.fields.get(TO_SERVER), leg.fields.get(TO_PROXY)
        while True:
            answers = {
                TO_SERVER: server.answer(leg.method, leg.target.raw_path_qs, own=own),
                TO_PROXY: gate.answer(*leg.asked_of_proxy, own=own_gate) if leg.proxy else None,
            }
            try:
                response = await self._request(leg, answers)
            except ProxyRefusedError as error:
                if not gate.is_worth_answering(error.challenges, own=own_gate):
                    message = f"cannot fetch {shown(leg.url)}: the proxy wants a user and password (407)"
                    raise HttpStatusError(message, 407) from None
                continue
            if response.status == 401:
                is_worth = server.is_worth_answering(response.headers.getall("WWW-Authenticate", []), own=own)
            elif response.status == 407 and leg.proxy is not None and not leg.is_tunnel:
                challenges = response.headers.getall("Proxy-Authenticate", [])
                is_worth = gate.is_worth_answering(challenges, own=own_gate)
            else:
                return response
            if not is_worth:
                return response
            response.release()  # which keeps the connection when the whole body is here already

    async def _request(self, leg: "_Leg", answers: Mapping[str, str | None]) -> Response:
        own = self.settings
        limit = own.connect_timeout + own.stall_timeout
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=own.connect_timeout)
        fields, tunnel = leg.fields_with(answers)
        with translated(leg.url, leg.proxy_url):
            context = await self._contexts.get(leg.ask.terms.tls)
            left, found = STALE, None
            while found is None:
                async with asyncio.timeout(limit) as clock:
                    patience = _Patience(clock, limit, own.stall_timeout)
                    try:
                        found = await self._session.request(
                            leg.method,
                            leg.target,
                            headers=fields,
                            proxy=leg.proxy_url,
                            proxy_headers=tunnel,
                            ssl=context,
                            allow_redirects=False,
                            timeout=timeout,
                            trace_request_ctx=patience,
                        )
                    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                        if not left or not patience.is_reused or leg.method not in SAFE:
                            raise
                        left -= 1
        response = cast("Response", found)
        try:
            heads.require_sound(_head_of(response), response.version or (0, 9))
        except TransferError:
            response.close()
            raise
        return response

    def _fields(self, headers: Mapping[str, str], ask: Ask) -> dict[str, str]:
        fields = {"accept": "*/*", "user-agent": self.settings.user_agent}
        fields |= {name.lower(): value for name, value in headers.items() if name.lower() not in OURS}
        fields["accept-encoding"] = "identity"
        if ask.span is not None:
            fields["range"] = _range_field(ask.span)
            if ask.validators.strong:
                fields["if-range"] = ask.validators.strong
        return fields


@dataclass(frozen=True, slots=True)
class _Leg:
    """One request by one way: `fields` in lower case, with the caller's own passwords if it has any."""

    target: URL
    method: str
    fields: Mapping[str, str]
    ask: Ask
    proxy: Proxy | None = None

    @property
    def url(self) -> str:
        return str(self.target)

    @property
    def origin(self) -> str:
        return str(self.target.origin())

    @property
    def proxy_url(self) -> str | None:
        return None if self.proxy is None else self.proxy.url

    @property
    def passes(self) -> tuple[Credential, ...]:
        """Credentials for the proxy."""
        if self.proxy is None:
            return ()
        return (*for_proxy(self.ask.terms.credentials, self.proxy.url), *self.proxy.credentials)

    @property
    def is_tunnel(self) -> bool:
        return self.proxy is not None and self.target.scheme == "https"

    @property
    def asked_of_proxy(self) -> tuple[str, str]:
        """Method and target of the request line that the proxy sees."""
        if self.is_tunnel:
            return "CONNECT", f"{self.target.host_subcomponent}:{self.target.port}"
        return self.method, str(self.target.with_fragment(None))

    def fields_with(self, answers: Mapping[str, str | None]) -> tuple[dict[str, str], dict[str, str] | None]:
        """The header fields of the request, and those of the CONNECT before it: what is the proxy's goes no further."""
        said = {name: value for name, value in answers.items() if value is not None}
        fields = {name: value for name, value in self.fields.items() if name not in answers}
        if not self.is_tunnel:
            return fields | said, None
        password = said.pop(TO_PROXY, None)
        if password is not None and password.startswith("Digest "):
            fields["connection"] = "close"  # its answer fits once: nobody would find this tunnel again
        return fields | said, {} if password is None else {TO_PROXY: password}


def _head_of(response: Response) -> Head:
    fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
    if response.is_disguised:
        fields = tuple(field for field in fields if field[0] != "Transfer-Encoding")
    if response.hidden_length is not None:
        fields += (("Content-Length", response.hidden_length),)
    return Head(str(response.url), response.status, fields, response.reason or "", time.time())


def _range_field(span: Span) -> str:
    return f"bytes={span.start}-{'' if span.end is None else span.end - 1}"


@dataclass(slots=True)
class _Patience:
    """`clock` runs out `connecting` seconds after a connection is asked for, `head` seconds after the request left."""

    clock: asyncio.Timeout
    connecting: float
    head: float
    is_reused: bool = False
    """The connection has served before: it may be closed by now."""

    def start(self, seconds: float | None) -> None:
        if not self.clock.expired():
            now = asyncio.get_running_loop().time()
            self.clock.reschedule(None if seconds is None else now + seconds)


async def _stop_clock(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    """Waiting for a free connection to a host is not the server's silence."""
    patience: _Patience = context.trace_request_ctx
    patience.start(None)


async def _start_clock(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    patience: _Patience = context.trace_request_ctx
    patience.start(patience.connecting)


async def _await_head(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    """The head must arrive whole within this time."""
    patience: _Patience = context.trace_request_ctx
    patience.start(patience.head)


async def _reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.is_reused = True


async def _create(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.is_reused = False
