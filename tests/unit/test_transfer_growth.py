"""How many connections a file gets, as a table: what they bring together decides."""

from collections.abc import Callable

import pytest

from transfer.growth import FAST, Growth
from transfer.hosts import MEMORY, MOST_HOSTS, Hosts, Room

MIB = 1 << 20
MUCH = 1 << 40


def settled(growth: Growth, rate: Callable[[int], float], left: int = MUCH) -> int:
    """What it comes to when so many connections bring `rate` bytes per second."""
    now, moved = 0.0, 0.0
    for _ in range(1000):
        if growth.is_settled:
            break
        growth.observe(now, int(moved), left)
        now += 0.02
        moved += 0.02 * rate(growth.target)
    return growth.target


@pytest.mark.parametrize(
    ("rate", "count"),
    [
        (lambda count: 10 * MIB * count, 16),
        (lambda count: 10 * MIB, 1),
        (lambda count: 9.0 * MIB, 1),
        (lambda count: min(25, 10 * count) * MIB, 4),
        (lambda count: min(20, 10 * count) * MIB, 2),
        (lambda count: min(80, 10 * count) * MIB, 8),
        (lambda count: 1.0 * FAST * count, 1),
        (lambda count: 10 * MIB / count, 1),
        (lambda count: 0.0, 1),
    ],
    ids=["per connection", "per client", "less", "25 of 10", "20 of 10", "80 of 10", "fast", "worse", "nothing"],
)
def test_as_many_stay_as_bring_more(rate: Callable[[int], float], count: int) -> None:
    assert settled(Growth(16), rate) == count


def test_there_are_never_more_than_allowed() -> None:
    assert settled(Growth(6), lambda count: 10 * MIB * count) == 6
    assert settled(Growth(1), lambda count: 10 * MIB * count) == 1


def test_what_was_best_before_is_taken_without_measuring() -> None:
    growth = Growth(16, 5)
    assert (growth.target, growth.is_settled, Growth(3, 5).target) == (5, True, 3)


def test_what_is_over_soon_is_left_alone() -> None:
    assert settled(Growth(16), lambda count: 10 * MIB * count, left=4 * MIB) == 1


def test_a_refusal_ends_the_growth() -> None:
    growth = Growth(16)
    growth.target = 4
    growth.refuse(2)
    assert settled(growth, lambda count: 10 * MIB * count) == 2


def test_a_gain_may_take_its_time() -> None:
    growth, now, moved = Growth(4), 0.0, 0.0
    begun: float | None = None
    while not growth.is_settled and now < 10:
        growth.observe(now, int(moved), MUCH)
        if growth.target == 4 and begun is None:
            begun = now
        slow_start = begun is None or now - begun < 0.3
        moved += 0.02 * (10 if slow_start else 40) * MIB
        now += 0.02
    assert growth.target == 4


def test_a_host_is_remembered_for_a_while() -> None:
    hosts = Hosts()
    hosts.learn("http://a:80/x?y", 4, 100.0)
    assert hosts.best("http://user@a:80/z", 100 + MEMORY - 1) == 4
    assert hosts.best("http://a:80/z", 100 + MEMORY) is None
    assert hosts.best("https://a:80/z", 100.0) is None


def test_only_so_many_hosts_are_remembered() -> None:
    hosts = Hosts()
    for number in range(MOST_HOSTS + 1):
        hosts.learn(f"http://{number}/", 2, 1.0)
    assert (hosts.best("http://0/", 1.0), hosts.best("http://1/", 1.0)) == (None, 2)


def test_room_counts_who_is_there_and_who_waits() -> None:
    hosts = Hosts(2)
    with hosts.connection("http://a/1"), hosts.connection("http://a/2"), hosts.connection("http://a/3"):
        assert (hosts.room("http://a/4").left, hosts.room("http://b/").left) == (-1, 2)
    assert hosts.room("http://a/").left == 2
    assert Room().left > 1000
