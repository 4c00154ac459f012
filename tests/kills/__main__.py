"""`python -m tests.kills --kills N --seed S`: kills at N moments of a crowd's work, and at every moment of a small day.

Prints the figures; fails unless nothing was found.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.kills import campaign, scenario

ROUND = 250
"""Kills of one service: whoever reads its events, and the check of all its jobs, take longer with each."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    has_failed = False
    for seed, done in enumerate(range(0, arguments.kills, ROUND), arguments.seed):
        with tempfile.TemporaryDirectory(prefix="kills-") as home:
            figures = asyncio.run(campaign.run(Path(home), kills=min(ROUND, arguments.kills - done), seed=seed))
        print(f"seed {seed}", figures.table(), sep="\n", flush=True)  # noqa: T201
        has_failed |= bool(figures.findings) or max(figures.again_by_kills, default=0) > campaign.MOST_AGAIN
    with tempfile.TemporaryDirectory(prefix="kills-") as home:
        days = asyncio.run(scenario.run(Path(home), seed=arguments.seed))
    print(days.table())  # noqa: T201
    sys.exit(has_failed or bool(days.findings))


if __name__ == "__main__":
    main()
