"""Requests over the Unix socket: JSON there, JSON back, server-sent events. The only user of aiohttp on this side.

Owns the connection and the translation of every aiohttp and operating-system error into `daemon.client.errors`. Never
retries: a caller knows whether its request may be repeated. Times are in seconds.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from daemon.client.errors import BadReply, ContentGone, ServiceUnreachable, from_problem
from daemon.client.socket import how_to_start

ANSWER_TIME = 60.0


class Transport:
    """Connections to one service, kept open between requests."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=socket_path), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
    ) -> object:
        """One exchange. `wait`: how long the service may hold the answer back on purpose. Raises ClientError."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIME + wait)
        with self._translated():
            async with self._session.request(
                method, _url(path, query), json=body, headers=headers, timeout=timeout
            ) as response:
                payload = await response.read()
        document = self._decode(payload)
        if response.status >= 400:
            raise from_problem({"status": response.status, "title": response.reason, **_mapping(document)})
        return document

    async def stream(
        self, path: str, *, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Events as they are sent, each with `seq` from its id line if it has none of its own."""
        accept = {"Accept": "text/event-stream", **(headers or {})}
        async with self._endless(_url(path, query), accept) as response:
            frame = Frame()
            async for line in response.content:
                if data := frame.take(line.decode().rstrip("\r\n")):
                    yield {"seq": frame.seq, **_mapping(self._decode(data.encode()))}

    async def pieces(self, path: str, *, headers: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """A body piece by piece, however long it takes. Raises ContentGone when it breaks off."""
        async with self._endless(_url(path, None), headers) as response:
            try:
                async for piece in response.content.iter_any():
                    yield piece
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as error:
                raise ContentGone.broken() from error

    @asynccontextmanager
    async def _endless(self, url: URL, headers: Mapping[str, str] | None) -> AsyncIterator[aiohttp.ClientResponse]:
        """A reply that takes as long as it takes."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_TIME)
        with self._translated():
            async with self._session.get(url, headers=headers, timeout=timeout) as response:
                if response.status >= 400:
                    document = self._decode(await response.read())
                    raise from_problem({"status": response.status, "title": response.reason, **_mapping(document)})
                yield response

    def _decode(self, payload: bytes) -> object:
        try:
            return json.loads(payload) if payload else None
        except ValueError as error:
            raise BadReply.because(self._path, "the answer is not JSON") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except aiohttp.ClientConnectorError as error:
            raise ServiceUnreachable.at(self._path, _reason(error.os_error, self._path)) from error
        except TimeoutError as error:
            raise ServiceUnreachable.at(self._path, "no answer in time; is the service stuck?") from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as error:
            raise ServiceUnreachable.at(self._path, "the connection broke; the service stopped or restarts") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise BadReply.because(self._path, str(error) or type(error).__name__) from error


class Frame:
    """One server-sent event being put together from its lines; `seq` is the last id seen."""

    def __init__(self) -> None:
        self.seq = 0
        self._data: list[str] = []

    def take(self, line: str) -> str | None:
        """Add a line; the data of the event when this line ends one."""
        if not line:
            data, self._data = "\n".join(self._data), []
            return data or None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and value.isdecimal():
            self.seq = int(value)
        return None


def _url(path: str, query: Mapping[str, Any] | None) -> URL:
    given = {name: _text(value) for name, value in (query or {}).items() if value is not None and value is not False}
    return URL(f"http://bitsd{path}" + (f"?{urlencode(given)}" if given else ""), encoded=True)


def _text(value: object) -> str:
    return "true" if value is True else str(value)


def _mapping(document: object) -> Mapping[str, Any]:
    return document if isinstance(document, dict) else {}


def _reason(error: OSError, path: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"no such socket; {how_to_start(path)}"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens there; {how_to_start(path)}"
    if isinstance(error, PermissionError):
        return "permission denied; it is the service of another user"
    return error.strerror or str(error)
