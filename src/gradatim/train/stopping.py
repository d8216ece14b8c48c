"""SIGTERM as a question: may this process stop soon? Schedulers ask so before they kill."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def asked_to_stop(on_ask: Callable[[], None] | None = None) -> Iterator[Callable[[], bool]]:
    """Gives what tells whether SIGTERM has come since the block began.

    A second SIGTERM ends the process as it would have without the block. Signals belong to a
    process's main thread; in another one nobody is ever asked.

    Args:
        on_ask: called when it comes, between two instructions of the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    is_asked = False

    def take_note(_signal: int, _frame: object) -> None:
        nonlocal is_asked
        is_asked = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if on_ask:
            on_ask()

    before = signal.signal(signal.SIGTERM, take_note)
    try:
        yield lambda: is_asked
    finally:
        signal.signal(signal.SIGTERM, before)
