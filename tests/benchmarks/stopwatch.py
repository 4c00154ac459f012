"""Run one command and print its exit code, wall seconds, CPU seconds and peak memory in KiB.

A process of its own, and a small one: Linux counts the memory of the one who forks as the child's own peak, so what is
measured is right only above the 9 MiB of this interpreter. Run as `python -I -S stopwatch.py COMMAND...`.
"""

import os
import sys
import time

if __name__ == "__main__":
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1)]
    began = time.perf_counter()
    child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
    _, status, used = os.wait4(child, 0)
    wall = time.perf_counter() - began
    print(os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, used.ru_maxrss)
