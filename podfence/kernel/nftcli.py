"""Rulesets go to the kernel through the ``nft`` program: one transaction, all or nothing.

Rule: the only module that starts ``nft``. The program is started from a thread that has entered
the wanted network namespace, so neither this process nor its other threads ever change theirs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import partial

from podfence.errors import HostError, NftError
from podfence.kernel import netns

TIMEOUT = 120.0
"""Seconds; a hundred thousand elements take less than one."""
MAX_SHOWN = 20
"""Lines of nft's own message that an error repeats."""
NOT_INSTALLED = (
    "nft is not installed; it is in the package nftables, for example: "
    "sudo apt-get install -y nftables"
)


def run_nft(text: str, namespace_fd: int | None = None) -> None:
    """Apply ``text`` as one transaction.

    ``namespace_fd``: an open ``/proc/PID/ns/net`` (or a bind mount of one); None: the namespace of
    this thread. Raises NftError, with nft's own words, when nothing was applied, HostError
    when there is no nft.
    """
    arguments = ["nft", "-f", "-"]
    if namespace_fd is None:
        _nft(arguments, text)
        return
    try:
        netns.run_inside(namespace_fd, partial(_nft, arguments, text))
    except OSError as error:
        raise NftError(f"cannot enter the network namespace: {error.strerror}") from error


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
        raise HostError(NOT_INSTALLED) from None
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
