"""Every row of the comparison, in the order of the table."""

from tests.benchmarks.rows import api, large, limited, memory, queued, small

ROWS = (*large.ROWS, *limited.ROWS, *small.ROWS, *memory.ROWS, *queued.ROWS, *api.ROWS)
