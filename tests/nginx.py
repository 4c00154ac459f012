"""A real nginx on a free loopback port, serving one folder.

from tests.nginx import Nginx, nginx  # the fixture
def test_x(nginx: Nginx): (nginx.root / "a.bin").write_bytes(...); fetch(nginx.url("a.bin"))
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

BINARY = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIG = """
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log; {user}
events {{ worker_connections 256; }}
http {{
    log_format requests '$request_method $uri $status "$http_range" "$http_if_range" $body_bytes_sent';
    access_log {home}/access.log requests;
    client_body_temp_path {home}/t; proxy_temp_path {home}/t; fastcgi_temp_path {home}/t; uwsgi_temp_path {home}/t;
    scgi_temp_path {home}/t; sendfile on; tcp_nopush on; default_type application/octet-stream; {extra}
    server {{ listen 127.0.0.1:{port}; root {root}; {server} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """`root` is the folder served; `log()` the requests as `GET /a 206 "bytes=5-" "etag" 100`."""

    root: Path
    port: int
    home: Path

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def log(self) -> list[str]:
        return (self.home / "access.log").read_text().splitlines()


@contextmanager
def running_nginx(home: Path, root: Path | None = None, *, server: str = "", extra: str = "") -> Iterator[Nginx]:
    """nginx with its files in `home`; `server` and `extra` are further directives (limit_rate and the like)."""
    root = root or home / "root"
    root.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""
    config = CONFIG.format(home=home, root=root, port=port, user=user, server=server, extra=extra)
    (home / "nginx.conf").write_text(config)
    process = subprocess.Popen(
        [BINARY, "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")],
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_port(port, process)
        yield Nginx(root, port, home)
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError("nginx does not start; see its error.log")


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """A real nginx over an empty folder."""
    if not Path(BINARY).exists():
        pytest.skip("nginx is not installed")
    home = tmp_path / "nginx"
    home.mkdir()
    with running_nginx(home) as server:
        yield server
