"""`bitsd` as it is, but for what a test cannot have in reality: a new boot id at each start, and small sync batches."""

import os
from dataclasses import replace

import daemon.app
import daemon.settings
from daemon import command
from daemon.config import Config
from tests.powercut.machine import SYNC_SIZE
from transfer.request import Settings

_settings_of = daemon.settings.transfer_settings


def _settings(config: Config) -> Settings:
    return replace(_settings_of(config), sync_size=SYNC_SIZE)


def main() -> None:
    daemon.app._boot_id = lambda: os.environ["POWERCUT_BOOT"]
    daemon.app.transfer_settings = _settings  # type: ignore[attr-defined]
    command.run()


if __name__ == "__main__":
    main()
