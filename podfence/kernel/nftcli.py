"""Rulesets go to the kernel through the ``nft`` program: one transaction, all or nothing.

Rule: the only module that starts ``nft``. The program is started from a thread that has entered
the wanted network namespace, so neither this process nor its other threads ever change theirs.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from podfence.errors import NftError

CLONE_NEWNET = 0x40000000
TIMEOUT = 120.0
"""Seconds; a hundred thousand elements take less than one."""
MAX_SHOWN = 20
"""Lines of nft's own message that an error repeats."""
INSTALL = "nft is not installed; install it with: sudo apt-get install -y nftables"


def run_nft(text: str, namespace_fd: int | None = None) -> None:
    """Apply ``text`` as one transaction.

    ``namespace_fd``: an open ``/proc/PID/ns/net`` (or a bind mount of one); None: the namespace of
    this thread. Raises NftError, with nft's own words, when nothing was applied.
    """
    arguments = ["nft", "-f", "-"]
    if namespace_fd is None:
        _nft(arguments, text)
        return
    with ThreadPoolExecutor(max_workers=1) as short_lived:
        short_lived.submit(_nft_inside, namespace_fd, arguments, text).result()


def _nft_inside(namespace_fd: int, arguments: Sequence[str], text: str) -> None:
    """Runs on a thread that ends afterwards, and its namespace with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace_fd, CLONE_NEWNET):
        why = os.strerror(ctypes.get_errno())
        raise NftError(f"cannot enter the network namespace: {why}")
    _nft(arguments, text)


def _nft(arguments: Sequence[str], text: str) -> None:
    try:
        done = subprocess.run(
            arguments,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise NftError(INSTALL) from None
    except subprocess.TimeoutExpired:
        raise NftError(f"nft gave no answer within {TIMEOUT:.0f} seconds") from None
    except OSError as error:
        raise NftError(f"nft cannot be started: {error.strerror}") from None
    if done.returncode:
        raise NftError(f"nft refused the ruleset:\n{_readable(done.stderr)}")


def _readable(stderr: str) -> str:
    """The first lines of what nft said, as they are: they point at a line and column."""
    lines = stderr.strip().splitlines() or ["(it did not say why)"]
    rest = len(lines) - MAX_SHOWN
    return "\n".join([*lines[:MAX_SHOWN], *([f"... {rest} more lines"] if rest > 0 else [])])
