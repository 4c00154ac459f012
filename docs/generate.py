"""Documents made from the code: `make docs`. A test holds them current.

docs/states.md: the block between the marks is the state diagram; docs/openapi.json: the whole file.
"""

import json
from pathlib import Path

from daemon.openapi import document
from jobqueue.states import diagram

DOCS = Path(__file__).parent
BEGIN, END = "<!-- generated: states -->", "<!-- end -->"


def with_diagram(text: str) -> str:
    """The text of states.md with the present diagram between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n```mermaid\n{diagram()}\n```\n{END}{after}"


def openapi() -> str:
    """The text of openapi.json."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    states = DOCS / "states.md"
    states.write_text(with_diagram(states.read_text()))
    (DOCS / "openapi.json").write_text(openapi())
