"""What `make bench` makes of its figures: ratios within a round, demands met or not, the document and the chart."""

from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks.chart import bars, chart
from tests.benchmarks.measure import Bench, Rounds
from tests.benchmarks.report import Result, demands, detail, document
from tests.benchmarks.row import Demand, Row, Spread
from tests.benchmarks.rows import ROWS
from tests.benchmarks.shared_origin import Connections

ROUNDS: Rounds = [
    {"bitsd": {"wall": 1.0, "cpu": 4.0}, "curl": {"wall": 2.0, "cpu": 2.0}},
    {"bitsd": {"wall": 3.0, "cpu": 4.0}, "curl": {"wall": 4.0, "cpu": 2.0}},
    {"bitsd": {"wall": 9.0, "cpu": 4.0}, "curl": {"wall": 10.0, "cpu": 2.0}},
]
WALL = Demand("wall to curl", "wall", 0.75, "curl", aim=0.5)
CPU = Demand("CPU to curl", "cpu", 0.75, "curl")


async def nothing(bench: Bench) -> Rounds:
    return []


ROW = Row("plain", "2 GiB", "As it is.", nothing, (WALL, CPU), "curl", 2)
OTHER = Row("tls", "the same over TLS", "", nothing, (CPU,), "curl", 2)
RESULT = Result(ROW, ROUNDS, "2026-01-01")


def test_a_ratio_is_taken_within_a_round_and_its_median_counts() -> None:
    assert WALL.spread(ROUNDS) == Spread(0.75, 0.5, 0.9)
    assert Demand("seconds", "wall", 3).spread(ROUNDS) == Spread(3.0, 1.0, 9.0)


@pytest.mark.parametrize(
    ("limit", "is_least", "is_met"), [(0.75, False, True), (0.74, False, False), (0.76, True, False)]
)
def test_a_demand_is_met_at_its_limit_and_missed_beyond(limit: float, is_least: bool, is_met: bool) -> None:
    assert Demand("", "wall", limit, "curl", is_least=is_least).is_met(ROUNDS) is is_met


def test_the_table_shows_every_demand_also_of_what_was_not_measured() -> None:
    lines = demands([RESULT], [ROW, OTHER]).splitlines()[2:]
    assert lines == [
        "| `plain`: 2 GiB | wall to curl | ≤ 0.75 (aim 0.5) | 0.75 (0.5 to 0.9) | reached |",
        "|  | CPU to curl | ≤ 0.75 | 2 (2 to 2) | **not reached** |",
        "| `tls`: the same over TLS | CPU to curl | ≤ 0.75 | not measured |  |",
    ]


def test_the_details_have_medians_and_ratios_and_the_cpu_of_a_gibibyte() -> None:
    assert detail(RESULT).splitlines()[2] == "| bitsd | 3 | 4 | 2 | 0.75 (0.5 to 0.9) | 2 (2 to 2) |"


def test_the_document_says_how_many_demands_are_reached() -> None:
    text = document([RESULT], [ROW, OTHER], "A machine", {"curl": "8.0"})
    assert "1 of 3 demands are reached" in text
    assert "As it is. 3 runs, 2026-01-01." in text
    assert "curl 8.0" in text


def test_the_chart_is_xml_with_a_bar_for_every_ratio_of_times() -> None:
    picture = ET.fromstring(chart([RESULT]))  # noqa: S314 - it is our own
    found = [part.get("class") for part in picture.iter() if part.tag.endswith("rect")]
    assert found == ["met", "missed"]
    assert [(bar.value, bar.limit) for bar in bars([RESULT])] == [(0.75, 0.75), (2.0, 0.75)]


def test_every_row_has_a_name_of_its_own_and_demands() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.demands for row in ROWS)


def test_connections_that_are_open_for_a_moment_are_not_kept() -> None:
    connections = Connections(0.0)
    for by, now in [(2, 1.0), (6, 10.0), (-6, 10.5), (-2, 20.0)]:
        connections.change(by, now)
    assert connections.report(30.0) == "8 2"
    assert connections.report(40.0) == "0 0"
