"""``python -m podfence.lab.api.become PARENT OWNER PROGRAM ARGUMENT...``: become a program that
ends with its parent. Process: that program, before it is one.

Rule: the program ends when ``PARENT`` does, in whatever way. ``OWNER``: a process whose user
namespace is entered first, as its root; 0: none is. The network stays that of the parent.
"""

from __future__ import annotations

import os
import sys

from podfence.kernel import netns


def command(owner: int, program: str, *arguments: str) -> list[str]:
    """What to start, as a child of this process."""
    return [sys.executable, "-m", __name__, str(os.getpid()), str(owner), program, *arguments]


def main() -> None:
    """Never returns."""
    parent, owner, *words = sys.argv[1:]
    if owner != "0":
        netns.enter_user(int(owner))
    netns.die_with_parent(int(parent))
    os.execv(words[0], words)  # noqa: S606 - the whole purpose; no shell is involved


if __name__ == "__main__":
    main()
