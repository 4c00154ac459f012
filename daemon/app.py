"""The composition root: store -> queue -> scheduler -> transfer -> API. Start, run and stop are told in `serve`."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from daemon import __version__, sockets
from daemon.accept import Acceptor
from daemon.activity import Activity
from daemon.api.call import Backend
from daemon.api.connection import Connection
from daemon.api.server import application
from daemon.clock import ASLEEP, ServiceClock
from daemon.config import Config
from daemon.dispatch.attempt import Dispatcher
from daemon.dispatch.files import OwnerFiles
from daemon.doctor import Doctor
from daemon.documents import Documents
from daemon.events import EventLog
from daemon.identity import Executors
from daemon.keys import KeySeal, load_key
from daemon.logs import configure
from daemon.settings import limits, policy, slots, transfer_settings
from daemon.systemd import Supervisor, handed_over
from jobqueue.errors import StoreFailedError, StoreFullError
from jobqueue.lost import give_up_lost_secrets, tell_what_was_lost
from jobqueue.memory import MemoryStore
from jobqueue.queue import JobQueue
from jobqueue.reports import Reports
from jobqueue.scheduler import Scheduler
from jobqueue.store import Store, open_store
from jobqueue.vault import Vault
from transfer.http import HttpSource

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


@dataclass(slots=True)
class _Parts:
    backend: Backend
    scheduler: Scheduler
    dispatcher: Dispatcher
    clock: ServiceClock
    boot_id: str


async def serve(config: Config, options: Options) -> None:
    """Run the service until SIGTERM or SIGINT, or until it is idle and may end.

    Raises sockets.ClaimError, ConfigError (of the key file), StoreFailedError when it cannot start.
    """
    _raise_file_limit()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    supervisor = Supervisor(os.environ)
    handed = handed_over(os.environ)
    if handed is None:
        sockets.make_directory(os.path.dirname(options.socket), 0o755)
        sockets.claim(f"{options.socket}.lock", f"the socket {options.socket}")
    # one that was not started by a caller would not come back, and what is in memory only would be lost
    may_leave = handed is not None and not options.is_ephemeral
    async with _wired(config, options) as parts:
        with sockets.listening(options.socket, handed) as listener:
            activity = Activity(parts.backend.queue, config.daemon.idle_exit if may_leave else 0)
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGHUP, lambda: _reload(parts, options, activity if may_leave else None, supervisor)
            )
            log.info("bitsd %s serves on %s", __version__, listener.getsockname())
            is_idle = await _run(parts, listener, stop, activity, supervisor)
        if is_idle:
            await _fall_asleep(parts)
    log.info("stopped")


async def _run(
    parts: _Parts, listener: socket.socket, stop: asyncio.Event, activity: Activity, supervisor: Supervisor
) -> bool:
    """From the first caller to the last; True when it ended because there was nothing to do."""
    begin_to_limit_the_stop = _guard_the_stop()
    app = application(parts.backend)
    activity.watch(app)
    runner = web.AppRunner(app, shutdown_timeout=LAST_ANSWERS)
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101 - as setup leaves it
    loop = asyncio.get_running_loop()

    def connection() -> Connection:
        activity.stir()
        return Connection(server, loop=loop)

    gc.collect()
    gc.freeze()  # what is there from the start is never garbage: not to be looked through again and again
    async with asyncio.TaskGroup() as group:
        acceptor = Acceptor(listener, connection, group)
        acceptor.start()
        scheduling = group.create_task(parts.scheduler.serve(), name="scheduler")
        group.create_task(parts.backend.events.serve(parts.backend.documents), name="events")
        told = group.create_task(stop.wait(), name="stop")
        idle = group.create_task(activity.until_idle(), name="idle")
        alive = group.create_task(supervisor.tell_alive(), name="watchdog")
        status = group.create_task(_tell_status(parts, activity, supervisor), name="status")
        await asyncio.wait({scheduling, told, idle}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping%s", ": nothing to do" if idle.done() else "")
        supervisor.tell("STOPPING=1", "STATUS=stopping")
        parts.backend.is_stopping = True
        parts.backend.events.close()
        parts.scheduler.stop()
        begin_to_limit_the_stop()
        acceptor.close()
        await runner.cleanup()
        for task in (told, idle, alive, status):
            task.cancel()
    return not idle.cancelled()


async def _tell_status(parts: _Parts, activity: Activity, supervisor: Supervisor) -> None:
    await parts.scheduler.has_looked.wait()
    supervisor.tell("READY=1")
    await activity.tell(supervisor)


async def _fall_asleep(parts: _Parts) -> None:
    """Service time goes on without the service: a timer will start it for what is due next."""
    try:
        await parts.backend.queue.change(
            lambda change: change.tx.set_meta(ASLEEP, parts.clock.asleep_at(change.now, parts.boot_id))
        )
    except (StoreFullError, StoreFailedError) as error:
        log.warning("cannot note how long the service is away, what is due will come later: %s", error)


def _guard_the_stop() -> Callable[[], None]:
    """A thread that ends the process STOP_TIME after the returned function is called, even when the loop hangs.

    It is there from the start: when the service stops there may be no thread to be had.
    """
    begun = threading.Event()

    def guard() -> None:
        begun.wait()
        time.sleep(STOP_TIME)
        _give_up()

    threading.Thread(target=guard, name="stop", daemon=True).start()
    return begun.set


def _give_up() -> None:
    """A disk that takes minutes to sync must not hold the stop: everything acknowledged is in the store."""
    log.warning("transfers did not stop in time; they go on from their files at the next start")
    os._exit(0)


@asynccontextmanager
async def _wired(config: Config, options: Options) -> AsyncIterator[_Parts]:
    """Every part of the service, made and closed in order."""
    store = await _store(options)
    executors = Executors()
    source = HttpSource(
        transfer_settings(config),
        ca_bundle=config.transfer.ca_bundle,
        connections_per_host=config.transfer.connections_per_host,
    )
    try:
        boot = await asyncio.to_thread(_boot_id)
        clock = await store.read(lambda tx: ServiceClock.restored(tx.meta, boot))
        queue = JobQueue(store, clock, policy(config), limits(config))
        await tell_what_was_lost(queue)
        await give_up_lost_secrets(queue)
        reports = Reports(queue)
        connections = config.transfer.connections_per_job
        dispatcher = Dispatcher(reports, queue.live, source, executors, transfer_settings(config), connections)
        scheduler = Scheduler(queue, reports, dispatcher.run, OwnerFiles(executors), slots(config))
        doctor = Doctor(queue, store, scheduler.finisher.leftovers, executors, _places(options))
        if config.daemon.log_level == "debug":
            await _tell_findings(doctor)
        doctor.is_starting = False
        backend = Backend(
            queue=queue,
            vault=Vault(queue),
            finisher=scheduler.finisher,
            documents=Documents(queue, scheduler.waiting),
            events=EventLog(queue),
            executors=executors,
            doctor=doctor,
            config=config,
            instance_id=str(uuid.uuid4()),
            started_at=clock.wall(),
            running_since=clock.now(),
        )
        yield _Parts(backend, scheduler, dispatcher, clock, boot)
    finally:
        await source.close()
        await store.close()
        executors.close()


def _places(options: Options) -> dict[str, int]:
    """What must be closed to others."""
    if options.is_ephemeral:
        return {}
    files = ("queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm", "queue.sqlite.mark", "secret.key", "lock")
    return {options.state_dir: 0o700} | {os.path.join(options.state_dir, name): 0o600 for name in files}


async def _tell_findings(doctor: Doctor) -> None:
    for finding in await doctor.examine(None, fix=False):
        log.warning("self-check: %s: %s", finding.code, finding.message)


async def _store(options: Options) -> Store:
    if options.is_ephemeral:
        return MemoryStore()
    sockets.make_directory(options.state_dir, 0o700)
    sockets.claim(os.path.join(options.state_dir, "lock"), f"the state directory {options.state_dir}")
    key = await asyncio.to_thread(load_key, os.path.join(options.state_dir, "secret.key"))
    return await open_store(os.path.join(options.state_dir, "queue.sqlite"), KeySeal(key))


def _reload(parts: _Parts, options: Options, activity: Activity | None, supervisor: Supervisor) -> None:
    """Take over what can change while running; a bad file changes nothing."""
    supervisor.tell_reloading()
    try:
        config = options.reload()
    except Exception as error:  # noqa: BLE001 - a service must outlive any mistake in its configuration
        log.error("kept the configuration as it was: %s", error)
    else:
        _take_over(config, parts)
        if activity is not None:
            activity.idle_exit = config.daemon.idle_exit
            activity.stir()
        log.info("took over the configuration")
    supervisor.tell("READY=1")


def _take_over(config: Config, parts: _Parts) -> None:
    configure(config.daemon)
    parts.backend.config = config
    parts.backend.queue.limits = limits(config)
    parts.backend.queue.policy = policy(config)
    parts.scheduler.slots = slots(config)
    parts.dispatcher.settings = parts.dispatcher.source.settings = transfer_settings(config)
    parts.dispatcher.connections_per_job = config.transfer.connections_per_job
    parts.scheduler.rearm()


def _raise_file_limit() -> None:
    """Every client and connection needs a descriptor: use all this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
