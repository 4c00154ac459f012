"""What holds for every test of the suite."""

import asyncio


def pytest_configure() -> None:
    # pytest-asyncio asks for "the current loop" before its first test; unless told that there is none, Python makes one
    # that nobody closes, and with warnings as errors the whole run fails at its end (depending on the order of tests).
    asyncio.set_event_loop(None)
