"""The server with one rate for a client, and the load that `make bench` puts on servers."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.benchmarks.load import load, request, tcp
from tests.benchmarks.measure import Bench
from tests.benchmarks.sources import GIB, KIB, served_together


def test_every_request_is_answered_once_on_so_many_connections(tmp_path: Path) -> None:
    with served_together(Bench(tmp_path, 1), 64 * KIB, GIB) as source:
        connect = tcp(urlsplit(source.base).port or 0)
        done = load(connect, [request("GET", "/f00000")] * 20, 4)
        assert len(done.latencies) == 20
        assert done.last == (source.root / "f00000").read_bytes()
        assert load(connect, [request("GET", "/.connections")], 1).last.split()[0] == b"4"


def test_a_range_of_the_file_is_served(tmp_path: Path) -> None:
    with served_together(Bench(tmp_path, 1), 64 * KIB, GIB) as source:
        asked = b"GET /f00000 HTTP/1.1\r\nRange: bytes=100-199\r\n\r\n"
        done = load(tcp(urlsplit(source.base).port or 0), [asked], 1)
        assert done.last == (source.root / "f00000").read_bytes()[100:200]


def test_a_refused_request_is_an_error(tmp_path: Path) -> None:
    with served_together(Bench(tmp_path, 1), KIB, GIB) as source, pytest.raises(RuntimeError, match="404"):
        load(tcp(urlsplit(source.base).port or 0), [request("GET", "/other")], 1)
