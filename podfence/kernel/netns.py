"""Network namespaces without names: held by file descriptors, gone when the process is gone.

Rule: other processes see nothing of these namespaces. There is no entry in ``/run/netns``, no mount
and no file, so a process that is killed leaves nothing behind. unshare(2) and setns(2) change the
*calling thread* only. So these functions are for a process of one thread that called
:func:`enter_private_network` before it opened any socket.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from podfence.errors import HostError

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")
Sysctl = tuple[str, str]
"""A path below ``/proc/sys`` and the value to write."""

_WRITABLE = "; a container needs a writable /proc/sys for it (docker run --privileged)"
_OBSTACLES = (
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are for root only (kernel.unprivileged_userns_clone=0)",
    ),
    ("user/max_user_namespaces", "0", "user namespaces are off (user.max_user_namespaces=0)"),
    ("user/max_net_namespaces", "0", "network namespaces are off (user.max_net_namespaces=0)"),
)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _unshare(flags: int) -> None:
    _check(_LIBC.unshare(flags), "unshare")


def join(namespace: int) -> None:
    """Move the calling thread into a network namespace. Raises OSError."""
    _check(_LIBC.setns(namespace, CLONE_NEWNET), "setns")


def current() -> int:
    """A descriptor of the calling thread's network namespace, closed on exec. Raises OSError."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def identity() -> int:
    """The inode that tells the calling thread's network namespace from all others."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def run_inside(namespace: int, function: Callable[[], T]) -> T:
    """Call a function on a thread of its own that has joined a network namespace.

    The thread ends afterwards, so neither this process nor its other threads ever change theirs.
    Raises OSError, or what the function raises.
    """

    def joined() -> T:
        join(namespace)
        return function()

    with ThreadPoolExecutor(max_workers=1) as short_lived:
        return short_lived.submit(joined).result()


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Run the body in a network namespace. Sockets opened in it stay in that namespace for good,
    processes started in it too. Raises OSError."""
    home = current()
    try:
        join(namespace)
        try:
            yield
        finally:
            join(home)
    finally:
        os.close(home)


def create() -> int:
    """A new, empty network namespace, as a descriptor; the calling thread stays where it is.

    Raises HostError when the kernel gives no more of them.
    """
    home = current()
    try:
        _unshare(CLONE_NEWNET)
        try:
            return current()
        finally:
            join(home)
    except OSError as error:
        raise HostError(f"cannot create a network namespace: {error.strerror}") from error
    finally:
        os.close(home)


def enter_private_network() -> bool:
    """Leave the host's network: put the calling process into a new, empty network namespace.

    Directly where the process may do that, else as root of a new user namespace. Returns True in
    the second case ("rootless"). The process must have one thread only. Raises HostError with the
    reason and the way out where the kernel forbids both.
    """
    before = identity()
    # Read before unshare(2): a new user namespace has its own limits.
    known = _obstacle()
    try:
        rootless = _unshare_network()
    except OSError as error:
        unknown = f"the kernel, or the container around this process, refuses it ({error.strerror})"
        raise HostError(
            f"no private network: {known or unknown}; run it with sudo, or in a "
            "container that has CAP_SYS_ADMIN and CAP_NET_ADMIN"
        ) from error
    if identity() == before:
        raise HostError("the kernel left this process in the host's network; nothing was changed")
    return rootless


def _unshare_network() -> bool:
    try:
        _unshare(CLONE_NEWNET)
    except PermissionError:
        _become_root_of_user_namespace()
        _unshare(CLONE_NEWNET)
        return True
    return False


def _become_root_of_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    _unshare(CLONE_NEWUSER)
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")  # the kernel wants it before an unprivileged gid_map
    (own / "uid_map").write_text(f"0 {user} 1")
    (own / "gid_map").write_text(f"0 {group} 1")


def _obstacle() -> str:
    """A setting of this machine that would keep a process from a private network, in words."""
    return next((text for name, value, text in _OBSTACLES if read_sysctl(name) == value), "")


def enter(process: int, number: int, *, rootless: bool) -> None:
    """Move the calling process into the network namespace that descriptor ``number`` of another
    process of the same user holds, for good. ``rootless``: into that process's user namespace
    first, as its root. Raises HostError.
    """
    try:
        namespace = os.open(f"/proc/{process}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
        if rootless:
            _join_user(process)
        join(namespace)
    except OSError as error:
        raise HostError(f"cannot enter the network namespace: {error.strerror}") from error


def enter_user(process: int) -> None:
    """Become root of another process's user namespace, for good; the network stays. The process
    must have one thread only. Raises HostError."""
    try:
        _join_user(process)
    except OSError as error:
        raise HostError(f"cannot enter the user namespace: {error.strerror}") from error


def _join_user(process: int) -> None:
    user = os.open(f"/proc/{process}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    _check(_LIBC.setns(user, CLONE_NEWUSER), "setns")


def read_sysctl(name: str) -> str | None:
    """Value of ``/proc/sys/<name>`` in the calling thread's namespace; None: there is none."""
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except (FileNotFoundError, PermissionError):
        return None


def write_sysctl(name: str, value: str) -> None:
    """Set ``/proc/sys/<name>`` in the calling thread's network namespace. Raises HostError."""
    try:
        with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
            file.write(value)
    except OSError as error:
        dotted = name.replace("/", ".")
        hint = _WRITABLE if error.errno == errno.EROFS else ""
        raise HostError(f"cannot set {dotted}={value}: {error.strerror}{hint}") from error


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when ``parent`` ends, however it ends.

    To be called after :func:`enter_private_network`: a change of credentials clears the
    parent-death signal.
    """
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:  # it ended before the signal was set
        os._exit(1)
