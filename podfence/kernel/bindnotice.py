"""bind(2) announced: a process and its descendants wait at every bind for a supervisor.

Rule: nothing of the call is changed, and the supervisor only learns the port. It is a seccomp
filter with user notification (seccomp_unotify(2)); the filter stays until the last process under it
ends, and then the supervisor's descriptor hangs up.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
import sys
from contextlib import suppress
from select import POLLHUP, POLLIN, poll
from typing import NamedTuple

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1
SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND = 0xC0502100, 0xC0182101
_SINCE = (5, 5)
"""The kernel that has SECCOMP_USER_NOTIF_FLAG_CONTINUE."""


class _Machine(NamedTuple):
    """Numbers that differ from machine to machine."""

    audit_arch: int
    seccomp: int
    bind: int


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 317, 49),
    "aarch64": _Machine(0xC00000B7, 277, 200),
    "riscv64": _Machine(0xC00000F3, 277, 200),
}
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, pid, flags, and the call: number, architecture, ip, arguments."""
_RESPONSE = struct.Struct("=QqiI")
"""struct seccomp_notif_resp: id, val, error, flags."""
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NR, _ARCH = 0, 4  # offsets in struct seccomp_data
_AF_INET, _AF_INET6 = 2, 10
_SOCKADDR_IN6 = 28  # bytes


def announce_binds() -> int | None:
    """From now on, this process and all that it starts announce every bind on the returned
    descriptor, and wait there. The process must have one thread, and CAP_SYS_ADMIN in its user
    namespace. None when this kernel or machine cannot do it; then nothing has changed.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or _kernel() < _SINCE:
        return None
    program = b"".join(_INSTRUCTION.pack(*line) for line in _filter(machine))
    code = ctypes.create_string_buffer(program)
    value = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    descriptor: int = ctypes.CDLL(None, use_errno=True).syscall(
        machine.seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, value
    )
    return None if descriptor < 0 else descriptor


def _kernel() -> tuple[int, ...]:
    numbers = os.uname().release.split("-")[0].split(".")[:2]
    return tuple(int(n) for n in numbers if n.isdecimal())


def _filter(machine: _Machine) -> list[tuple[int, int, int, int]]:
    """bind of this machine's own architecture is announced; everything else is allowed."""
    return [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 0, 3, machine.audit_arch),
        (_LOAD, 0, 0, _NR),
        (_JUMP_EQUAL, 0, 1, machine.bind),
        (_RETURN, 0, 0, SECCOMP_RET_USER_NOTIF),
        (_RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]


class Bind(NamedTuple):
    """One announced call."""

    number: int
    port: int
    """What it asks for, by IPv4 or IPv6; 0: any free port, or no port of IP."""


class BindNotices:
    """The supervisor's end."""

    def __init__(self, descriptor: int) -> None:
        """Takes over the descriptor."""
        self._descriptor = descriptor
        self._poll = poll()
        self._poll.register(descriptor, POLLIN)

    def fileno(self) -> int:
        """For epoll: readable when a process waits, hung up when all processes have ended."""
        return self._descriptor

    def receive(self) -> Bind | None:
        """The call that waits; None when there is none, or its process has ended meanwhile. Raises
        EOFError when all processes have ended."""
        ready = dict(self._poll.poll(0)).get(self._descriptor, 0)
        if not ready & POLLIN:
            if ready & POLLHUP:
                raise EOFError
            return None
        data = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._descriptor, SECCOMP_IOCTL_NOTIF_RECV, data)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        number, pid, _, _, _, _, _, address, length, *_ = _NOTIFICATION.unpack(data)
        return Bind(number, _port(_read(pid, address, length)))

    def go_on(self, bind: Bind) -> None:
        """Let the call happen."""
        response = bytearray(_RESPONSE.pack(bind.number, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE))
        with suppress(FileNotFoundError):  # the process has ended meanwhile
            fcntl.ioctl(self._descriptor, SECCOMP_IOCTL_NOTIF_SEND, response)

    def close(self) -> None:
        """A bind that is still announced then fails with ENOSYS."""
        os.close(self._descriptor)


def _read(pid: int, address: int, length: int) -> bytes:
    """A socket address in the memory of another process; empty when it cannot be read."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(min(length, _SOCKADDR_IN6))
    except (OSError, ValueError, OverflowError):
        return b""


def _port(address: bytes) -> int:
    """The port of a struct sockaddr."""
    family = int.from_bytes(address[:2], sys.byteorder)
    return int.from_bytes(address[2:4], "big") if family in (_AF_INET, _AF_INET6) else 0
