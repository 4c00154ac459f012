"""What people read: sizes, durations, tables, speeds, `key=value`, and the socket that is used."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.client.errors import InvalidArgument
from daemon.client.output import clean, format_duration, format_percent, format_size, format_time, short_ids, table
from daemon.client.properties import header_block, parse_assignments
from daemon.client.socket import SYSTEM_SOCKET, find_socket
from daemon.client.speed import SpeedMeter


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "?"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1024**2 - 1, "1.0 MiB"), (3 * 1024**3, "3.0 GiB")],
)
def test_sizes_are_in_binary_units(size: int | None, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 2**63 - 1))
def test_a_size_never_needs_more_than_four_digits_before_the_point(size: int) -> None:
    assert float(format_size(size).split()[0]) < 1024


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (9, "0:09"), (59.6, "1:00"), (3723, "1:02:03"), (86400 * 90, "90d"), (90061, "1d 1:01:01")],
)
def test_durations_read_like_a_clock(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


def test_only_all_of_it_is_100_percent() -> None:
    assert format_percent(999, 1000) == "99%"
    assert format_percent(1000, 1000) == "100%"
    assert format_percent(0, 0) == format_percent(5, None) == "-"
    assert format_percent(0, 0, is_whole=True) == "100%"


@given(st.text())
def test_cleaned_text_cannot_steer_a_terminal(text: str) -> None:
    assert clean(text).isprintable()


def test_a_time_that_is_none_is_shown_as_it_came() -> None:
    assert format_time(None) == "-"
    assert format_time("soon") == "soon"
    assert len(format_time("2026-01-02T03:04:05Z")) == len("2026-01-02 03:04:05")


def test_tables_are_aligned_and_have_no_trailing_blanks() -> None:
    assert table(("A", "N", "NAME"), [("long", "1", "x"), ("", "10", "")], right=("N",)) == (
        "A      N  NAME\nlong   1  x\n      10"
    )
    assert table(("A", "B"), []) == "A  B"


@given(st.sets(st.uuids().map(str), max_size=20))
def test_short_ids_stay_different(ids: set[str]) -> None:
    shortened = short_ids(sorted(ids))
    assert len(set(shortened)) == len(ids)
    assert all(8 <= len(short) <= 36 and not short.endswith("-") for short in shortened)


def test_speed_is_over_a_window_and_starts_anew_when_bytes_are_taken_back() -> None:
    meter = SpeedMeter(window=5)
    assert meter.speed() is None
    for second in range(20):
        meter.add(second, second * 10 if second < 10 else 100 + (second - 10) * 50)
    assert meter.speed() == 50
    assert meter.remaining(1050) == pytest.approx(10)
    assert meter.remaining(None) is None
    meter.add(20, 0)
    assert meter.speed() is None


def test_assignments_become_a_merge_patch() -> None:
    words = ["priority=HIGH", "display_name=12", "no_progress_timeout=0", "description=", "maximum_download_size=null"]
    more = ["security_flags=REDIRECT_DISALLOW, SSL_IGNORE_UNKNOWN_CA", "notify.command=/bin/x 'a b'", "proxy.list=1"]
    assert parse_assignments([*words, *more, "notify.flags=[]"]) == {
        "priority": "HIGH",
        "display_name": "12",
        "no_progress_timeout": 0,
        "description": None,
        "maximum_download_size": None,
        "security_flags": ["REDIRECT_DISALLOW", "SSL_IGNORE_UNKNOWN_CA"],
        "notify": {"command": ["/bin/x", "a b"], "flags": []},
        "proxy": {"list": "1"},
    }


@pytest.mark.parametrize("words", [["priority"], ["=1"], ["a=1", "a=2"], ["a=1", "a.b=2"], ["notify.command='x"]])
def test_what_is_no_assignment_is_refused(words: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        parse_assignments(words)


def test_headers_are_one_block_and_cannot_smuggle_lines() -> None:
    assert header_block(["A: b", "C:d"]) == "A: b\r\nC:d\r\n"
    assert header_block(None) is None
    for header in ("A", ": b", "A: b\r\nC: d"):
        with pytest.raises(InvalidArgument):
            header_block([header])


def test_the_socket_is_the_one_asked_for_then_the_users_then_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("BITSD_SOCKET", raising=False)
    assert find_socket() == SYSTEM_SOCKET
    (tmp_path / "bitsd").mkdir()
    (tmp_path / "bitsd" / "bitsd.sock").touch()
    assert find_socket() == f"{tmp_path}/bitsd/bitsd.sock"
    monkeypatch.setenv("BITSD_SOCKET", "/env")
    assert find_socket() == "/env"
    assert find_socket("/asked") == "/asked"
