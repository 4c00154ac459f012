"""The composition root: store -> queue -> scheduler -> transfer -> API. Start, run and stop are told in `serve`."""

import asyncio
import logging
import os
import resource
import signal
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from daemon import __version__, sockets
from daemon.api.call import Backend
from daemon.api.connection import Connection
from daemon.api.server import application
from daemon.clock import ServiceClock
from daemon.config import Config
from daemon.dispatch.attempt import Dispatcher
from daemon.dispatch.files import OwnerFiles
from daemon.documents import Documents
from daemon.events import EventLog
from daemon.identity import Executors
from daemon.keys import KeySeal, load_key
from daemon.logs import configure
from jobqueue.edit import Limits
from jobqueue.lost import give_up_lost_secrets
from jobqueue.memory import MemoryStore
from jobqueue.order import Slots
from jobqueue.queue import JobQueue
from jobqueue.reports import Reports
from jobqueue.retry import Policy
from jobqueue.scheduler import Scheduler
from jobqueue.store import Store, open_store
from jobqueue.vault import Vault
from transfer.http import HttpSource
from transfer.request import Settings

log = logging.getLogger(__name__)

STOP_TIME = 4.5
"""Seconds for a clean stop, all of it; what is not synced by then is found in the temporary files at the next start."""
LAST_ANSWERS = 1.0
"""Seconds for calls that are being answered when the service stops."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this process was started; `reload` reads the configuration again (SIGHUP)."""

    socket: str
    state_dir: str
    is_ephemeral: bool
    reload: Callable[[], Config]


async def serve(config: Config, options: Options) -> None:
    """Run the service until SIGTERM or SIGINT.

    Raises sockets.ClaimError, ConfigError (of the key file), StoreFailedError when it cannot start.
    """
    _raise_file_limit()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with _wired(config, options) as parts:
        loop.add_signal_handler(signal.SIGHUP, lambda: _reload(parts, options))
        runner = web.AppRunner(application(parts.backend), shutdown_timeout=LAST_ANSWERS)
        await runner.setup()
        server = runner.server
        assert server is not None  # noqa: S101 - as setup leaves it
        serving = await loop.create_server(lambda: Connection(server, loop=loop), sock=parts.listener, backlog=1024)
        log.info("bitsd %s serves on %s", __version__, options.socket)
        async with asyncio.TaskGroup() as group:
            scheduling = group.create_task(parts.scheduler.serve(), name="scheduler")
            await asyncio.wait({scheduling, group.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
            parts.backend.is_stopping = True
            parts.backend.events.close()
            parts.scheduler.stop()
            _limit_the_stop()
            serving.close()
            stop.set()
            await runner.cleanup()
    log.info("stopped")


def _limit_the_stop() -> None:
    """From a thread: it must end even when the loop hangs."""
    timer = threading.Timer(STOP_TIME, _give_up)
    timer.daemon = True
    timer.start()


def _give_up() -> None:
    """A disk that takes minutes to sync must not hold the stop: everything acknowledged is in the store."""
    log.warning("transfers did not stop in time; they go on from their files at the next start")
    os._exit(0)


@dataclass(slots=True)
class _Parts:
    backend: Backend
    scheduler: Scheduler
    dispatcher: Dispatcher
    listener: socket.socket


@asynccontextmanager
async def _wired(config: Config, options: Options) -> AsyncIterator[_Parts]:
    """Every part of the service, made and closed in order."""
    sockets.make_directory(os.path.dirname(options.socket), 0o755)
    sockets.claim(f"{options.socket}.lock", f"the socket {options.socket}")
    store = await _store(options)
    executors = Executors()
    source = HttpSource(
        transfer_settings(config),
        ca_bundle=config.transfer.ca_bundle,
        connections_per_host=config.transfer.connections_per_host,
    )
    try:
        saved = await store.read(lambda tx: tx.meta("clock"))
        queue = JobQueue(store, ServiceClock(float(saved or 0.0)), policy(config), limits(config))
        await give_up_lost_secrets(queue)
        reports = Reports(queue)
        connections = config.transfer.connections_per_job
        boot = await asyncio.to_thread(_boot_id)
        dispatcher = Dispatcher(reports, queue.live, source, executors, transfer_settings(config), connections, boot)
        scheduler = Scheduler(queue, reports, dispatcher.run, OwnerFiles(executors), slots(config))
        backend = Backend(
            queue=queue,
            vault=Vault(queue),
            finisher=scheduler.finisher,
            documents=Documents(queue, scheduler.waiting),
            events=EventLog(queue),
            executors=executors,
            config=config,
            instance_id=str(uuid.uuid4()),
            started_at=queue.clock.wall(),
        )
        with sockets.bound(options.socket) as listener:
            yield _Parts(backend, scheduler, dispatcher, listener)
    finally:
        await source.close()
        await store.close()
        executors.close()


async def _store(options: Options) -> Store:
    if options.is_ephemeral:
        return MemoryStore()
    sockets.make_directory(options.state_dir, 0o700)
    sockets.claim(os.path.join(options.state_dir, "lock"), f"the state directory {options.state_dir}")
    key = await asyncio.to_thread(load_key, os.path.join(options.state_dir, "secret.key"))
    return await open_store(os.path.join(options.state_dir, "queue.sqlite"), KeySeal(key))


def _reload(parts: _Parts, options: Options) -> None:
    """Take over what can change while running; a bad file changes nothing."""
    try:
        config = options.reload()
    except Exception as error:  # noqa: BLE001 - a service must outlive any mistake in its configuration
        log.error("kept the configuration as it was: %s", error)
        return
    configure(config.daemon)
    parts.backend.config = config
    parts.backend.queue.limits = limits(config)
    parts.backend.queue.policy = policy(config)
    parts.scheduler.slots = slots(config)
    parts.dispatcher.settings = parts.dispatcher.source.settings = transfer_settings(config)
    parts.dispatcher.connections_per_job = config.transfer.connections_per_job
    parts.scheduler.rearm()
    log.info("took over the configuration")


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
        user_agent=own.user_agent,
        max_redirects=own.max_redirects,
    )


def _raise_file_limit() -> None:
    """Every client and connection needs a descriptor: use all this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
