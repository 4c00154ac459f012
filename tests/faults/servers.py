"""The servers on which all faults are played: good ones, each kind of bad one, and addresses where nobody is.

    async with Servers(scheme="https") as servers:
        placed = servers.place("cut-once", FAULTS["cut-once"])
        ... fetch placed.url with placed.file ...

Names in braces stand for servers in the texts of a Fault: {good}, {plain}, {dead}, … (`Servers.names`).
"""

import socket
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import count
from types import TracebackType
from typing import Any, Self

from tests.faults.fault import SIZE, Fault
from tests.forward_proxy import ForwardProxy
from tests.origin import Origin
from tests.origin_auth import Auth
from tests.origin_content import Body
from tests.origin_script import Script
from tests.origin_tls import Certificates

KINDS = ("expired", "early", "other-name", "unknown-ca", "self-signed", "client-only")


@dataclass(frozen=True, slots=True)
class Placed:
    """A fault that can be met now: where, with which options, and what the server means."""

    name: str
    url: str
    file: dict[str, Any]
    """What a job's file has besides its names."""
    job: dict[str, Any]
    meant: Script
    """Its content is the right one."""

    def versions(self) -> tuple[bytes, bytes]:
        """What the published file may be: of the version before and of the one after a change."""
        return self._cut(self.meant.original), self._cut(self.meant.content)

    def _cut(self, content: Body) -> bytes:
        ranges = self.file.get("ranges")
        if not ranges:
            return content.read()
        return b"".join(
            content.read(each["offset"], each["offset"] + each["length"] if each.get("length") is not None else None)
            for each in ranges
        )


class Servers:
    """All of them; `scheme` is that of the good one. `chunking` as in Origin."""

    def __init__(self, *, scheme: str = "http", port: int = 0, chunking: int | None = None) -> None:
        self.certificates = Certificates()
        self.names: dict[str, str] = {}
        self.proxy = ForwardProxy()
        self._stack = AsyncExitStack()
        self.scripts: dict[str, Script] = {}
        self._scheme = scheme
        self._port = port
        self._chunking = chunking
        self._seeds = count(1)

    async def __aenter__(self) -> Self:
        tls = {f"tls-{kind}": self.certificates.server(kind) for kind in KINDS}  # type: ignore[arg-type]
        tls["tls-cipher"] = self.certificates.without_common_cipher()
        tls["tls-client12"] = self.certificates.demanding(ssl.TLSVersion.TLSv1_2)
        tls["tls-client13"] = self.certificates.demanding(ssl.TLSVersion.TLSv1_3)
        good = self.certificates.server()
        await self._open("good", Origin(self._port, tls=good if self._scheme == "https" else None, **self._shared()))
        await self._open("plain", Origin(**self._shared()))
        await self._open("secure", Origin(tls=good, **self._shared()))
        for name, context in tls.items():
            await self._open(name, Origin(tls=context, **self._shared()))
        await self._open("closing", Origin(tls=good if self._scheme == "https" else None, manners="close"))
        await self._open("silent", Origin(tls=good if self._scheme == "https" else None, manners="silence"))
        self.names["authority"] = self.names["good"].partition("//")[2]
        self.names["muddled"] = self.names["plain"].replace("http:", "https:")
        self.names["other"] = self.names["good"].replace("127.0.0.1", "localhost")
        self.names["as-ann"] = self.names["good"].replace("//", "//ann:pass%20word%3A1@")
        self.names["other-as-ann"] = self.names["other"].replace("//", "//ann:pass%20word%3A1@")
        self.names["nowhere"] = f"{self._scheme}://nobody.invalid"
        self.names["dead"] = f"{self._scheme}://127.0.0.1:{self._dead_port()}"
        self.names["unreachable"] = f"{self._scheme}://127.0.0.1:{self._full_port()}"
        await self._open_proxies()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def place(self, name: str, fault: Fault, instance: int = 0) -> Placed:
        """Make the scripts of one more instance of the fault, under paths and with bytes of its own."""
        path, seed = f"/{name}-{instance}", next(self._seeds)
        options = {"": fault.script} | {f"-{suffix}": more for suffix, more in fault.others.items()}
        scripts = {suffix: self._script(seed, path, each) for suffix, each in options.items()}
        for suffix, script in scripts.items():
            self.scripts[path + suffix] = script
        meant = scripts[f"-{fault.meant}" if fault.meant else ""]
        facts = {"path": path, "sha256": meant.original.digest(), "new_sha256": meant.changed.digest()}
        facts |= {"sha512": meant.original.digest("sha512"), "md5": meant.original.digest("md5")}
        file, job = self._filled(fault.file, facts), self._filled(fault.job, facts)
        return Placed(name, self._filled(fault.remote, facts), file, job, meant)

    def _script(self, seed: int, path: str, options: Mapping[str, Any]) -> Script:
        return Script(**({"seed": seed, "size": SIZE} | self._filled(options, {"path": path})))

    def _filled(self, value: Any, facts: dict[str, str]) -> Any:  # noqa: ANN401 - texts inside of anything
        """A copy of `value` in which each text has the names in braces replaced."""
        match value:
            case str():
                for name, text in (self.names | facts).items():
                    value = value.replace(f"{{{name}}}", text)
                return value
            case dict():
                return {name: self._filled(each, facts) for name, each in value.items()}
            case list() | tuple():
                return type(value)(self._filled(each, facts) for each in value)
            case Auth():
                return replace(value, nonces={})  # each instance counts its own
            case _:
                return value

    def _shared(self) -> dict[str, Any]:
        return {"chunking": self._chunking, "scripts": self.scripts}

    async def _open(self, name: str, origin: Origin) -> None:
        self.names[name] = (await self._stack.enter_async_context(origin)).url()

    async def _open_proxies(self) -> None:
        await self._stack.enter_async_context(self.proxy)
        self.names["proxy"] = self.proxy.url
        for name, proxy in {
            "proxy-basic": ForwardProxy(auth=Auth()),
            "proxy-digest": ForwardProxy(auth=Auth(schemes=("Digest", "Basic"), algorithms=("SHA-256", "MD5"))),
            "proxy-502": ForwardProxy(fault="status-502"),
            "proxy-403": ForwardProxy(fault="status-403"),
            "proxy-garbage": ForwardProxy(fault="garbage"),
            "proxy-close": ForwardProxy(fault="close"),
            "proxy-silence": ForwardProxy(fault="silence"),
            "proxy-breaks": ForwardProxy(fault="close-after-connect"),
        }.items():
            self.names[name] = (await self._stack.enter_async_context(proxy)).url
        self.names["proxy-dead"] = f"http://127.0.0.1:{self._dead_port()}"

    def _full_port(self) -> int:
        """One that takes no more connections, without refusing them."""
        full = self._stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        self._stack.enter_context(socket.create_connection(full.getsockname()))
        return int(full.getsockname()[1])

    def _dead_port(self) -> int:
        """One on which nobody listens, and which nobody else gets meanwhile."""
        taken = self._stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
