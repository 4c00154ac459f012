"""What is downloaded: files of random bytes that stay in the page cache, and the servers that give them away."""

import ctypes
import filecmp
import mmap
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trustme

from tests.benchmarks.measure import Bench, say
from tests.nginx import running_nginx

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Source:
    """Files in `root` and where they are served: `base` ends with a slash. `bundle` is the trusted root of https."""

    root: Path
    base: str
    names: Sequence[str]
    bundle: str = ""

    @property
    def url(self) -> str:
        """Of the first file, which is the only one of most."""
        return self.base + self.names[0]

    def part(self, start: int, end: int | None = None) -> "Source":
        """The same with some of the files only."""
        return replace(self, names=self.names[start:end])

    def check(self, folder: Path, is_thorough: bool) -> None:
        """A check of a run that downloaded every file under its name into `folder`."""
        for name in self.names:
            path, original = folder / name, self.root / name
            assert path.stat().st_size == original.stat().st_size, f"{path} has the wrong size"
            assert not is_thorough or filecmp.cmp(path, original, shallow=False), f"{path} has wrong bytes"


@contextmanager
def files(bench: Bench, sizes: Sequence[int]) -> Iterator[tuple[Path, list[str]]]:
    """A folder with a file of each of these sizes, held in memory: the folder and their names."""
    root = bench.folder("root")
    names = [f"f{number:05}" for number in range(len(sizes))]
    say(f"    making {len(sizes)} file(s), {sum(sizes) / MIB:.0f} MiB")
    with ExitStack() as held:
        for name, size in zip(names, sizes, strict=True):
            with (root / name).open("wb") as file:
                for start in range(0, size, MIB):
                    file.write(os.urandom(min(MIB, size - start)))
            held.enter_context(_locked(root / name))
        yield root, names


@contextmanager
def served(bench: Bench, sizes: Sequence[int], *, directives: str = "") -> Iterator[Source]:
    """The files by nginx over http; `directives` for all of them."""
    with files(bench, sizes) as (root, names), running_nginx(bench.home, root, server=directives) as nginx:
        yield Source(root, nginx.url(""), names)


@contextmanager
def served_by_tls(bench: Bench, size: int) -> Iterator[Source]:
    """One file by nginx over https."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(bench.home / "roots.pem"))
    key = bench.home / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(key))
    port = free_port()
    directives = f"listen 127.0.0.1:{port} ssl; ssl_certificate {key}; ssl_certificate_key {key};"
    with files(bench, [size]) as (root, names), running_nginx(bench.home, root, server=directives):
        yield Source(root, f"https://127.0.0.1:{port}/", names, str(bench.home / "roots.pem"))


@contextmanager
def served_together(bench: Bench, size: int, rate: int) -> Iterator[Source]:
    """One file from a server that gives `rate` bytes per second to all connections of a client together."""
    with files(bench, [size]) as (root, names):
        command = [sys.executable, "-m", "tests.benchmarks.shared_origin", str(root), str(rate)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.fullmatch(r"(\d+)\n", process.stdout.readline())
                assert found, "the server does not start"
                yield Source(root, f"http://127.0.0.1:{found[1]}/", names)
            finally:
                process.terminate()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file in the page cache. By hand, because Python's own mapping keeps a descriptor for each file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if _libc.mlock(address, size):
        say(f"    warning: {path.name} cannot be locked in memory ({os.strerror(ctypes.get_errno())}); see ulimit -l")
    try:
        yield
    finally:
        _libc.munmap(address, size)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def await_port(port: int) -> None:
    """Return when somebody listens there. Raises ConnectionRefusedError after ten seconds."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_libc.mlock.argtypes = _libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
