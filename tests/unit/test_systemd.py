"""The words between systemd and the service, with real sockets."""

import os
import socket
from pathlib import Path

import pytest

from daemon import systemd
from daemon.sockets import ClaimError
from daemon.systemd import Supervisor, handed_over
from tests.supervisor import Notices


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_message_reaches_the_socket_that_the_environment_names(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "n") if kind == "path" else f"@bitsd-test-{os.getpid()}"
    with Notices(address) as notices:
        environment = {"NOTIFY_SOCKET": address, "PATH": "/bin"}
        supervisor = Supervisor(environment)
        assert supervisor.is_there
        supervisor.tell("READY=1", "STATUS=serving")
        assert notices.rest() == ["READY=1", "STATUS=serving"]
        assert environment == {"PATH": "/bin"}


def test_without_a_supervisor_nothing_is_said_and_nothing_fails() -> None:
    supervisor = Supervisor({})
    assert not supervisor.is_there
    supervisor.tell("READY=1")


def test_a_supervisor_that_is_gone_or_does_not_listen_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
    assert "cannot tell systemd READY=1" in caplog.text
    with Notices(str(tmp_path / "full")):
        supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "full")})
        for _ in range(2000):  # more than the kernel keeps for somebody who does not read
            supervisor.tell("STATUS=" + "x" * 1000)


@pytest.mark.parametrize(("usec", "pid"), [("", None), ("nonsense", None), ("0", None), ("1000000", "1")])
async def test_the_watchdog_is_fed_only_by_whom_it_watches(tmp_path: Path, usec: str, pid: str | None) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": usec} | ({"WATCHDOG_PID": pid} if pid else {})
    with Notices(str(tmp_path / "n")) as notices:
        await Supervisor(environment).tell_alive()  # returns: there is nothing to do
        assert notices.rest() == []


def hand_over(monkeypatch: pytest.MonkeyPatch, handed: socket.socket, **environment: str) -> socket.socket | None:
    """`handed_over` with a copy of `handed` where systemd would put it; its end is the caller's."""
    monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", os.dup(handed.fileno()))
    return handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"} | environment)


def test_a_listening_unix_socket_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        taken = hand_over(monkeypatch, listener)
        assert taken is not None
        with taken:
            assert taken.getsockname() == str(tmp_path / "s")
            assert not taken.get_inheritable()
            assert not taken.getblocking()


def test_what_was_meant_for_another_process_is_left_alone_and_not_passed_on() -> None:
    environment = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "bitsd.socket"}
    assert handed_over(environment) is None
    assert environment == {}


@pytest.mark.parametrize("kind", ["internet", "datagram", "not listening"])
def test_another_sort_of_socket_is_refused_with_a_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    family = socket.AF_INET if kind == "internet" else socket.AF_UNIX
    sort = socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM
    with socket.socket(family, sort) as made:
        made.bind(("127.0.0.1", 0) if kind == "internet" else str(tmp_path / "s"))
        if kind == "internet":
            made.listen()
        with pytest.raises(ClaimError, match="not a listening Unix stream socket"):
            hand_over(monkeypatch, made)


def test_two_sockets_or_something_else_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClaimError, match="handed over 2 sockets"):
        handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
    (tmp_path / "f").touch()
    with (tmp_path / "f").open() as file:
        monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", file.fileno())
        with pytest.raises(ClaimError, match="not a socket"):
            handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
