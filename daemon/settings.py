"""The sections of the configuration as the rooms below take them: pure translation."""

from daemon.config import Config
from jobqueue.edit import Limits
from jobqueue.order import Slots
from jobqueue.retry import Policy
from transfer.request import Settings


def policy(config: Config) -> Policy:
    """`[retry]` and the history's length as the queue takes them."""
    own = config.retry
    return Policy(
        minimum_retry_delay=own.minimum_retry_delay,
        minimum_retry_delay_floor=own.minimum_retry_delay_floor,
        no_progress_timeout_foreground=own.no_progress_timeout_foreground,
        no_progress_timeout_background=own.no_progress_timeout_background,
        inactivity_timeout=own.job_inactivity_timeout,
        maximum_download_time=own.maximum_download_time,
        history_retention=config.daemon.history_retention,
    )


def limits(config: Config) -> Limits:
    """`[limits]` as the queue takes them."""
    return Limits(**config.limits.model_dump())


def slots(config: Config) -> Slots:
    """`[scheduler]` as the scheduler takes it."""
    own = config.scheduler
    return Slots(foreground=own.foreground_slots, background=own.background_slots, time_slice=own.time_slice)


def transfer_settings(config: Config) -> Settings:
    """`[transfer]` as a transfer takes it."""
    own = config.transfer
    return Settings(
        connect_timeout=own.connect_timeout,
        stall_timeout=own.stall_timeout,
        chunk_size=own.chunk_size,
        take_over_size=own.take_over_size,
        connections_per_file=own.connections_per_file,
        split_size=own.split_size,
        user_agent=own.user_agent,
        max_redirects=own.max_redirects,
    )
