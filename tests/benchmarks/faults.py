"""`make bench-faults`: who publishes a wrong file and calls it a success? curl, wget, wget2, aria2c and bitsd on the
faults of the corpus and on the splices of tests/benchmarks/cases.py.

Writes docs/faults.md and the table in README.md, and fails when bitsd published a wrong file. With names of faults as
arguments only these are run, and nothing is written.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from daemon import __version__
from tests.benchmarks import ours
from tests.benchmarks.cases import CASES, SPLICES, Case
from tests.benchmarks.rivals import LIMIT, RIVALS, RUNS, Rival
from tests.benchmarks.verdicts import Ending, Results, Verdict, between, judge, names, table
from tests.faults.servers import Placed, Servers

HOME = Path(__file__).resolve().parents[2]
MARKS = ("<!-- faults -->", "<!-- /faults -->")
AT_ONCE = 8


async def of_rivals(servers: Servers, home: Path, bundle: str, cases: Sequence[Case]) -> Results:
    """Each tool meets each fault, on scripts and in a directory of its own."""
    doors = asyncio.Semaphore(AT_ONCE)

    async def run(rival: Rival, case: Case, instance: int) -> tuple[Placed, Ending]:
        async with doors:
            placed = servers.place(case.name, case.fault, instance)
            folder = home / rival.name / case.name
            return placed, await rival.end(placed, folder, bundle, case.interrupt)

    for rival in RIVALS:
        (home / rival.name).mkdir()
    async with asyncio.TaskGroup() as group:
        tasks = {
            (rival, case.name): group.create_task(run(rival, case, instance))
            for case in cases
            for instance, rival in enumerate(RIVALS)
        }
    ended = {key: task.result() for key, task in tasks.items()}
    return {
        rival.name: {
            name: judge(ending, placed.versions(), is_told=rival.knows_all(placed))
            for (tool, name), (placed, ending) in ended.items()
            if tool is rival
        }
        for rival in RIVALS
    }


async def of_bitsd(servers: Servers, home: Path, bundle: str, cases: Sequence[Case]) -> dict[str, Verdict]:
    """A service for each kind of interruption."""
    found: dict[str, Verdict] = {}
    for interrupt, group in groupby(cases, lambda case: case.interrupt):
        files = [servers.place(case.name, case.fault, len(RIVALS)) for case in group]
        ended = await ours.endings(files, home / f"bitsd-{len(found)}", bundle, interrupt)
        found |= {each.name: judge(ended[each.name], each.versions(), is_told=True) for each in files}
    return found


async def measure(home: Path, cases: Sequence[Case]) -> Results:
    async with Servers() as servers:
        bundle = servers.certificates.write_bundle(home)
        rivals = await of_rivals(servers, home, bundle, cases)
        return {"bitsd": await of_bitsd(servers, home, bundle, cases)} | rivals


def labelled(results: Results) -> Results:
    """The same with the version of each tool."""
    versions = {"bitsd": __version__} | {rival.name: rival.version() for rival in RIVALS}
    return {f"{tool} {versions[tool]}": found for tool, found in results.items()}


def document(results: Results, cases: Sequence[Case]) -> str:
    """docs/faults.md."""
    commands = "\n".join(f"{rival.line} URL" for rival in RIVALS)
    splices = "\n".join(f"- `{case.name}`: {case.fault.about}" for case in SPLICES)
    return f"""# Faulty servers: bitsd and its rivals

Made by `make bench-faults`. The same {len(cases)} faults for every tool: those of `python -m tests.origin --list` that
a plain command over http can meet (no credentials, proxies, mirrors, ranges), and {len(SPLICES)} splices, in which the
file is replaced while it is fetched. The number of faults that ended as:

{table(results)}

- *The right file* is what the server means at the end; *an older version, whole* is what it meant at the beginning.
- *An error* is an exit code that is not 0, whatever was left on the disk. *Still trying*: at the limit of {LIMIT:.0f} s
  the tool went on; for bitsd, which gives up after two weeks, that is how a server ends that never answers properly.
- *Success, wrong file*: exit code 0, and what is under the final name is no version of the file: two versions mixed, a
  part, a login page, nonsense, a compressed body stored as it came, an empty file.
- *Promise not expressible*: the same, where bitsd was told a size or a digest and the tool has no option for it.

## Wrong files

{names(results, [Verdict.WRONG, Verdict.UNTOLD, Verdict.NOTHING])}

The splices:

{splices}

## How they were run

```
{commands}
```

Each command had a fresh directory, was told the trusted root, aria2c also the digest when one was promised
(`--checksum`), and was run again when it failed, up to {RUNS} times. wget2 is seldom run again, because it exits with 0
after most failures ([known](https://github.com/rockdaboot/wget2/issues/309)). In a splice the first run is ended by
a signal while the server is silent; for bitsd it is the service that is ended and started again.
"""


def main() -> None:
    wanted = sys.argv[1:]
    cases = [case for case in CASES if not wanted or case.name in wanted]
    with tempfile.TemporaryDirectory() as home:
        results = asyncio.run(measure(Path(home), cases))
    if wanted:
        print("\n".join(f"{tool:7} {name:40} {verdict}" for tool in results for name, verdict in results[tool].items()))
        return
    shown = labelled(results)
    text = document(shown, cases)
    print(text)
    (HOME / "docs" / "faults.md").write_text(text)
    readme = HOME / "README.md"
    readme.write_text(between(readme.read_text(), MARKS, table(shown)))
    if Verdict.WRONG in results["bitsd"].values():
        sys.exit("bitsd published a wrong file")


if __name__ == "__main__":
    main()
