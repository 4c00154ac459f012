"""Service time: goes with the monotonic clock alone, and on over a restart as it should."""

import time

import pytest

from daemon.clock import ASLEEP, ServiceClock

BOOT = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
OTHER = "6fa459ea-ee8a-3ca4-894e-db77e160355e"


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the clocks of the machine say."""
    said = {"monotonic": 1000.0, "wall": 2e9, "boot": 5000.0}
    monkeypatch.setattr(time, "monotonic", lambda: said["monotonic"])
    monkeypatch.setattr(time, "time", lambda: said["wall"])
    monkeypatch.setattr(time, "clock_gettime", lambda _: said["boot"])
    return said


def left(clock: ServiceClock, *, is_idle: bool = True) -> dict[str, str]:
    """What a service that ended leaves in the store."""
    now = clock.now()
    return {"clock": repr(now)} | ({ASLEEP: clock.asleep_at(now, BOOT)} if is_idle else {})


def test_it_begins_at_zero_and_runs_with_the_monotonic_clock(moment: dict[str, float]) -> None:
    clock = ServiceClock.restored(lambda _: None, BOOT)
    assert clock.now() == 0
    moment["monotonic"] += 7
    assert clock.now() == 7


@pytest.mark.parametrize("years", [-10, 10])
def test_the_wall_clock_and_standby_do_not_move_it(moment: dict[str, float], years: int) -> None:
    clock = ServiceClock(100)
    moment["wall"] += years * 365 * 86_400
    moment["boot"] += 100 * 86_400
    assert clock.now() == 100


def test_it_stands_still_while_the_service_is_off(moment: dict[str, float]) -> None:
    meta = left(ServiceClock(100), is_idle=False)
    moment["monotonic"] += 1000
    assert ServiceClock.restored(meta.get, BOOT).now() == 100


def test_it_goes_on_while_the_service_is_off_for_idleness(moment: dict[str, float]) -> None:
    clock = ServiceClock(100)
    moment["monotonic"] += 5
    meta = left(clock)
    moment["monotonic"] += 1000
    assert ServiceClock.restored(meta.get, BOOT).now() == 1105


def test_a_start_that_is_killed_before_it_saved_anything_loses_nothing(moment: dict[str, float]) -> None:
    meta = left(ServiceClock(100))
    moment["monotonic"] += 10
    ServiceClock.restored(meta.get, BOOT)
    moment["monotonic"] += 10
    assert ServiceClock.restored(meta.get, BOOT).now() == 120


def test_what_was_slept_counts_once(moment: dict[str, float]) -> None:
    meta = left(ServiceClock(100))
    moment["monotonic"] += 10
    meta |= left(ServiceClock.restored(meta.get, BOOT), is_idle=False)
    moment["monotonic"] += 1000
    assert ServiceClock.restored(meta.get, BOOT).now() == 110


def test_in_another_boot_it_goes_on_from_what_was_saved(moment: dict[str, float]) -> None:
    meta = left(ServiceClock(100))
    moment["monotonic"] = 3
    assert ServiceClock.restored(meta.get, OTHER).now() == 100
