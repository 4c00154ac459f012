"""The model of config.toml: every setting, its unit and its default. Owns nothing else; refuses what it does not know.

Read from the file, then from `BITSD_SECTION__KEY` in the environment, then from the command line.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon import __version__

PREFIX = "BITSD_"
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ConfigError(Exception):
    """The configuration cannot be used; the message names file, section and key."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DaemonSection(_Section):
    """`[daemon]`; an empty `socket` or `state_dir` means the place for this kind of service (docs/configuration.md)."""

    socket: str = ""
    state_dir: str = ""
    history_retention: Positive = 604_800
    idle_exit: Count = 0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"


class LimitsSection(_Section):
    """`[limits]`; 0 = no limit, root is exempt."""

    jobs_per_user: Count = 60
    jobs_per_machine: Count = 300
    files_per_job: Count = 200
    ranges_per_file: Count = 500


class SchedulerSection(_Section):
    """`[scheduler]`; `foreground_slots` 0 = no limit, `time_slice` in seconds."""

    foreground_slots: Count = 0
    background_slots: Positive = 4
    time_slice: Positive = 300


class RetrySection(_Section):
    """`[retry]`, all in seconds; `job_inactivity_timeout` 0 = never."""

    minimum_retry_delay: Count = 60
    minimum_retry_delay_floor: Count = 5
    no_progress_timeout_foreground: Count = 3600
    no_progress_timeout_background: Count = 86_400
    job_inactivity_timeout: Count = 7_776_000
    maximum_download_time: Count = 7_776_000


class TransferSection(_Section):
    """`[transfer]`; timeouts in seconds, sizes in bytes; `connections_per_host` 0 = no limit."""

    connections_per_job: Annotated[int, Field(ge=1, le=64)] = 4
    connections_per_file: Annotated[int, Field(ge=1, le=32)] = 8
    split_size: Annotated[int, Field(ge=0)] = 16_777_216
    connections_per_host: Count = 0
    connect_timeout: Positive = 15
    stall_timeout: Positive = 30
    chunk_size: Annotated[int, Field(ge=65_536, le=16_777_216)] = 1_048_576
    take_over_size: Annotated[int, Field(ge=-1)] = 16_777_216
    user_agent: str = f"bitsd/{__version__}"
    max_redirects: Count = 10
    ca_bundle: str = ""


class Config(_Section):
    """The whole file."""

    daemon: DaemonSection = DaemonSection()
    limits: LimitsSection = LimitsSection()
    scheduler: SchedulerSection = SchedulerSection()
    retry: RetrySection = RetrySection()
    transfer: TransferSection = TransferSection()


def load(path: str | None, environment: Mapping[str, str]) -> Config:
    """Read the configuration; `path` None = the defaults. Raises ConfigError."""
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            with open(path, "rb") as file:
                tables = tomllib.load(file)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
    for name, text in environment.items():
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and separator:
            table = tables.setdefault(section, {})
            if isinstance(table, dict):
                table[key] = _value(section, key, text)
    try:
        return Config.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(f"cannot use {path or 'the environment'}: {_explained(error)}") from error


def default_path() -> str | None:
    """The configuration file of this kind of service, if there is one."""
    if os.geteuid() == 0:
        path = "/etc/bitsd/config.toml"
    else:
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        path = os.path.join(home, "bitsd", "config.toml")
    return path if os.path.exists(path) else None


def default_socket() -> str:
    """/run/bitsd/bitsd.sock for the system service, else in the user's runtime directory."""
    if os.geteuid() == 0:
        return "/run/bitsd/bitsd.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return os.path.join(runtime, "bitsd", "bitsd.sock")


def default_state_dir() -> str:
    """/var/lib/bitsd for the system service, else in the user's state directory."""
    if os.geteuid() == 0:
        return "/var/lib/bitsd"
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "bitsd")


def _value(section: str, key: str, text: str) -> object:
    """A value as TOML would read it; what is not TOML, or not a string where one belongs, is taken as it stands."""
    model = Config.model_fields.get(section)
    field = getattr(model.annotation, "model_fields", {}).get(key) if model else None
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return text if field is not None and field.annotation is str and not isinstance(value, str) else value


def _explained(error: ValidationError) -> str:
    first = error.errors()[0]
    section, *rest = (str(part) for part in first["loc"])
    where = f"[{section}] {'.'.join(rest)}" if rest else f"[{section}]"
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg']}"
    model = Config.model_fields.get(section)
    known = list(getattr(model.annotation, "model_fields", ())) if model and rest else list(Config.model_fields)
    close = difflib.get_close_matches(rest[0] if rest else section, known, n=1)
    return f"{where}: there is no such {'key' if rest else 'section'}" + (
        f"; did you mean {close[0]}?" if close else ""
    )
