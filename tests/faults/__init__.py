"""Every way in which a server, a proxy or the network between was found to misbehave, by name, with its right end.

`FAULTS` is the whole catalogue; tests/faults/servers.py plays it, tests/acceptance/test_corpus.py holds bitsd to it.
"""

from tests.faults import (
    access,
    breaks,
    changes,
    heads,
    honest,
    integrity,
    mirrors,
    orders,
    redirects,
    resumes,
    statuses,
    tls,
)
from tests.faults.fault import Fault

FAMILIES = (honest, heads, statuses, breaks, resumes, changes, redirects, integrity, mirrors, orders, access, tls)
FAULTS: dict[str, Fault] = {name: fault for family in FAMILIES for name, fault in family.FAULTS.items()}

__all__ = ["FAMILIES", "FAULTS", "Fault"]
