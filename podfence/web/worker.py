"""One thread that judges, so that the server goes on answering.

Rule: jobs run one after the other, in the order of their requests. The thread does not keep the
process alive, so stopping the server does not wait for unneeded answers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """``run`` is called from the event loop, and returns there."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._work, name="podfence-judge", daemon=True).start()

    async def run(self, job: Callable[[], T]) -> T:
        """Return or raise what a job does. A cancelled job is not started."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, future))
        return await future

    def _work(self) -> None:
        while True:
            job, future = self._jobs.get()
            if future.cancelled():
                continue
            try:
                result, error = job(), None
            except Exception as failed:  # noqa: BLE001 - it is raised where the job was asked for
                result, error = None, failed
            with suppress(RuntimeError):  # the loop has ended meanwhile
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
