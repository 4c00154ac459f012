"""Which part of a file a Range means, and when that can be said of a file that is still growing."""

import pytest

from daemon.api.ranges import Asked, Part, asked_for, part_of

ETAG = '"3"'


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("bytes=0-", Asked(0, None)),
        ("bytes=5-9", Asked(5, 9)),
        (" Bytes=7-7 ", Asked(7, 7)),
        ("bytes=-5", Asked(None, 5)),
        ("", None),
        ("bytes=-", None),
        ("bytes=9-5", None),
        ("bytes=0-1,5-6", None),
        ("bytes = 0-1", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=٣-٤", None),
        ("bytes=" + "9" * 5000 + "-", None),
    ],
)
def test_one_range_of_bytes_counts_and_everything_else_is_ignored(value: str, asked: Asked | None) -> None:
    assert asked_for(value, None, ETAG) == asked


@pytest.mark.parametrize(
    ("condition", "is_met"), [(ETAG, True), ('"2"', False), ('W/"3"', False), ("Sat, 1 Jan", False)]
)
def test_a_range_of_another_version_is_the_whole_file(condition: str, is_met: bool) -> None:
    assert asked_for("bytes=5-", condition, ETAG) == (Asked(5, None) if is_met else None)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (None, Part(0, 100)),
        (Asked(0, None), Part(0, 100)),
        (Asked(99, None), Part(99, 100)),
        (Asked(10, 19), Part(10, 20)),
        (Asked(90, 5000), Part(90, 100)),
        (Asked(None, 10), Part(90, 100)),
        (Asked(None, 5000), Part(0, 100)),
    ],
)
def test_with_a_known_size_every_range_is_clear_at_once(asked: Asked | None, part: Part) -> None:
    assert part_of(asked, 100, 0) == part
    assert not part.is_empty


@pytest.mark.parametrize("asked", [Asked(100, None), Asked(100, 200), Asked(None, 0)])
def test_a_range_without_a_byte_is_empty(asked: Asked) -> None:
    part = part_of(asked, 100, 100)
    assert part is not None
    assert part.is_empty


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (None, Part()),
        (Asked(0, None), Part()),
        (Asked(10, 49), Part(10, 50)),
        (Asked(10, 50), None),
        (Asked(10, None), None),
        (Asked(None, 10), None),
    ],
)
def test_without_the_size_a_range_waits_until_it_is_certain(asked: Asked | None, part: Part | None) -> None:
    assert part_of(asked, None, 50) == part


def test_an_empty_file_is_whole_and_has_no_ranges() -> None:
    assert part_of(None, 0, 0) == Part(0, 0)
    suffix = part_of(Asked(None, 5), 0, 0)
    assert suffix is not None
    assert suffix.is_empty
