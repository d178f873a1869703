"""A process that works for a main one, and never on its own."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait


def belong_to_the_main_process() -> None:
    """To be called first in a new process: it ends with its main process, and at once when it is told to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends the others
    # Lightning composes its handler with this one; alone it would fail the cell in hand and let the process go on.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A process whose main process was killed must not go on writing beside the run that resumes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
