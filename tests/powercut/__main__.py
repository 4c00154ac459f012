"""`python -m tests.powercut --cuts N --seed S`: as many power cuts as wanted; prints the figures, fails unless zero."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.powercut.campaign import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.powercut", description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="powercut-") as home:
        figures = asyncio.run(run(Path(home), cuts=arguments.cuts, seed=arguments.seed))
    print(figures.table())  # noqa: T201 - what one asked for
    sys.exit(bool(figures.findings))


if __name__ == "__main__":
    main()
