"""config.toml and the environment: docs/configuration.md."""

from pathlib import Path

import pytest

from daemon import __version__
from daemon.config import Config, ConfigError, load

# docs/configuration.md, written out once more
DEFAULTS: dict[str, dict[str, object]] = {
    "daemon": {
        "socket": "",
        "state_dir": "",
        "history_retention": 7 * 86_400,
        "idle_exit": 0,
        "log_level": "info",
        "log_format": "text",
    },
    "limits": {"jobs_per_user": 60, "jobs_per_machine": 300, "files_per_job": 200, "ranges_per_file": 500},
    "scheduler": {"foreground_slots": 0, "background_slots": 4, "time_slice": 300},
    "retry": {
        "minimum_retry_delay": 60,
        "minimum_retry_delay_floor": 5,
        "no_progress_timeout_foreground": 3600,
        "no_progress_timeout_background": 86_400,
        "job_inactivity_timeout": 7_776_000,
        "maximum_download_time": 7_776_000,
    },
    "transfer": {
        "connections_per_job": 4,
        "connections_per_file": 8,
        "split_size": 16_777_216,
        "connections_per_host": 0,
        "connect_timeout": 15,
        "stall_timeout": 30,
        "chunk_size": 1024 * 1024,
        "take_over_size": 16 * 1024 * 1024,
        "user_agent": f"bitsd/{__version__}",
        "max_redirects": 10,
        "ca_bundle": "",
    },
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(path: Path | None, environment: dict[str, str] | None = None) -> str:
    """The message of a configuration that must not be used."""
    with pytest.raises(ConfigError) as refused:
        load(None if path is None else str(path), environment or {})
    return str(refused.value)


def test_without_a_file_every_setting_has_the_documented_default() -> None:
    assert load(None, {}).model_dump() == DEFAULTS


def test_a_file_changes_what_it_names_and_nothing_else(written: Path) -> None:
    written.write_text("[scheduler]\nbackground_slots = 2\n")
    expected = DEFAULTS | {"scheduler": {**DEFAULTS["scheduler"], "background_slots": 2}}
    assert load(str(written), {}).model_dump() == expected


def test_a_misspelt_key_is_named_with_its_section_and_the_right_spelling(written: Path) -> None:
    written.write_text("[scheduler]\nbackground_slot = 2\n")
    message = refusal(written)
    assert str(written) in message
    assert "[scheduler] background_slot" in message
    assert "did you mean background_slots?" in message


def test_a_misspelt_section_is_named_with_the_right_spelling(written: Path) -> None:
    written.write_text("[schedular]\nbackground_slots = 2\n")
    message = refusal(written)
    assert "[schedular]" in message
    assert "no such section" in message
    assert "did you mean scheduler?" in message


def test_a_key_like_no_other_is_refused_without_a_guess(written: Path) -> None:
    written.write_text("[daemon]\nzzz = 2\n")
    message = refusal(written)
    assert "[daemon] zzz: there is no such key" in message
    assert "did you mean" not in message


@pytest.mark.parametrize(
    "text",
    [
        '[scheduler]\nbackground_slots = "2"',
        "[scheduler]\nbackground_slots = 2.0",
        "[scheduler]\nbackground_slots = true",
        "[scheduler]\nbackground_slots = 0",
        "[limits]\njobs_per_user = -1",
        '[daemon]\nlog_level = "loud"',
        "[daemon]\nsocket = 5",
        "[transfer]\nconnections_per_job = 65",
        "[transfer]\nchunk_size = 1",
        "[retry]\nmaximum_download_time = 99999999999999999999",
    ],
)
def test_a_wrong_value_is_refused_naming_section_and_key(written: Path, text: str) -> None:
    written.write_text(text)
    section, assignment = text.split("\n")
    assert f"{section} {assignment.split(' ')[0]}: " in refusal(written)


def test_a_value_where_a_section_belongs_is_refused(written: Path) -> None:
    written.write_text("scheduler = 5\n")
    assert "[scheduler]" in refusal(written)


@pytest.mark.parametrize("content", [b"[daemon\n", b"[daemon]\nsocket = '\xff'\n", b"[daemon]\na = 1\na = 2\n"])
def test_a_file_that_is_not_toml_is_refused_with_its_path(written: Path, content: bytes) -> None:
    written.write_bytes(content)
    assert refusal(written).startswith(f"cannot read {written}: ")


def test_a_missing_file_is_refused_with_its_path_and_reason(written: Path) -> None:
    assert refusal(written) == f"cannot read {written}: No such file or directory"


def test_the_environment_overrides_the_file(written: Path) -> None:
    written.write_text("[scheduler]\nbackground_slots = 2\ntime_slice = 7\n")
    config = load(
        str(written),
        {
            "BITSD_SCHEDULER__BACKGROUND_SLOTS": "3",
            "BITSD_DAEMON__SOCKET": "/run/a b.sock",
            "BITSD_LIMITS__JOBS_PER_USER": "0",
        },
    )
    assert (config.scheduler.background_slots, config.scheduler.time_slice) == (3, 7)
    assert config.daemon.socket == "/run/a b.sock"
    assert config.limits.jobs_per_user == 0


def test_the_environment_takes_strings_with_and_without_quotes() -> None:
    assert load(None, {"BITSD_DAEMON__LOG_LEVEL": "debug"}).daemon.log_level == "debug"
    assert load(None, {"BITSD_DAEMON__LOG_LEVEL": '"debug"'}).daemon.log_level == "debug"


@pytest.mark.parametrize("text", ["1", "true", "2026-01-01", "[1]", "0x10", ""])
def test_a_string_setting_of_the_environment_may_look_like_anything(text: str) -> None:
    assert load(None, {"BITSD_TRANSFER__USER_AGENT": text}).transfer.user_agent == text


def test_other_variables_are_none_of_our_business() -> None:
    environment = {"BITSD_SOCKET": "/x", "PATH": "/bin", "OTHER__KEY": "1", "bitsd_daemon__socket": "/y"}
    assert load(None, environment) == Config()


def test_a_misspelt_variable_is_refused_with_the_right_spelling() -> None:
    message = refusal(None, {"BITSD_SCHEDULER__TIME_SLICES": "3"})
    assert "the environment" in message
    assert "[scheduler] time_slices" in message
    assert "did you mean time_slice?" in message
