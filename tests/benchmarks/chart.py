"""docs/performance.svg: bitsd's time as a share of its peers', a bar for each, with a mark at what is demanded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.benchmarks.report import Result

METRICS = ("wall", "cpu")
LEFT, RIGHT, SCALE = 230, 60, 360
"""Pixels for the labels, for the figures, and for a ratio of 1."""
BAR, STEP, TOP = 14, 24, 56
LONGEST = 1.4
"""A longer bar is cut; its figure says how long it is."""
STYLE = """
    text { font: 12px sans-serif; fill: #6e7781; }
    .axis { stroke: #8c959f; }
    .mark { stroke: #6e7781; stroke-width: 3; }
    .met { fill: #2da44e; }
    .missed { fill: #cf5b16; }
"""
"""Colours that can be read on a light page and on a dark one."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio and what it may be at most."""

    label: str
    value: float
    limit: float
    is_met: bool


def bars(results: Sequence[Result]) -> Iterator[Bar]:
    """Those figures that are times of bitsd to times of a peer."""
    for result in results:
        for demand in result.row.demands:
            if demand.base is not None and demand.metric in METRICS:
                value = demand.spread(result.rounds).median
                yield Bar(f"{result.row.name}: {demand.name}", value, demand.limit, demand.is_met(result.rounds))


def chart(results: Sequence[Result]) -> str:
    """The picture. It has no ground of its own: it is read on light and dark pages."""
    shown = list(bars(results))
    width, bottom = LEFT + int(SCALE * LONGEST) + RIGHT, TOP + STEP * len(shown)
    parts = [_bar(bar, TOP + STEP * number) for number, bar in enumerate(shown)]
    parts += [_axis(ratio, bottom) for ratio in (0, 1)]
    title = "Time of bitsd / time of the peer, medians; less is better, the mark is what is demanded"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 8}" width="{width}" role="img">\n'
        f"  <title>{title}</title>\n  <style>{STYLE}  </style>\n"
        f'  <text x="4" y="16">{title}</text>\n  ' + "\n  ".join(parts) + "\n</svg>\n"
    )


def _axis(ratio: int, bottom: int) -> str:
    x = LEFT + SCALE * ratio
    return (
        f'<text x="{x}" y="{TOP - 14}" text-anchor="middle">{ratio}</text>'
        f'<line class="axis" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{bottom}"/>'
    )


def _bar(bar: Bar, top: int) -> str:
    length = SCALE * min(bar.value, LONGEST)
    mark = LEFT + SCALE * bar.limit
    return (
        f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{"met" if bar.is_met else "missed"}" x="{LEFT}" y="{top}" width="{length:.0f}" height="{BAR}"/>'
        f'<line class="mark" x1="{mark:.0f}" x2="{mark:.0f}" y1="{top - 3}" y2="{top + BAR + 3}"/>'
        f'<text x="{LEFT + SCALE * LONGEST + 6:.0f}" y="{top + 12}">{bar.value:.2f}</text>'
    )
