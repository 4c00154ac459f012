"""`bitsd` as it is, but that it may kill itself at a chosen moment, and brings bytes to the disk in smaller batches.

    CRASH_AT=commit:after:17 python -m tests.kills.launcher --socket PATH --state-dir DIR

SYNC_SIZE is the size of a batch. Without CRASH_AT, MOMENTS_LOG and SYNC_SIZE nothing is changed.
"""

import os
from dataclasses import replace
from typing import NoReturn

import daemon.app
import daemon.settings
from daemon import command
from daemon.config import Config
from tests.kills.moments import Moments
from transfer.request import Settings

_settings_of = daemon.settings.transfer_settings


def _with_smaller_batches(config: Config) -> Settings:
    return replace(_settings_of(config), sync_size=int(os.environ["SYNC_SIZE"]))


def main() -> NoReturn:
    moments = Moments.of(os.environ)
    if moments is not None:
        moments.watch()
    if "SYNC_SIZE" in os.environ:
        daemon.app.transfer_settings = _with_smaller_batches  # type: ignore[attr-defined]
    command.run()
    raise AssertionError("bitsd ends its process itself")


if __name__ == "__main__":
    main()
