"""Gives up everything this process does not need, before it touches packets from the network. Linux.

:func:`enter` never asks for more than the process may do: each layer that the system grants is named in what it
returns, so that ``doctor`` can say what is missing. Limits of memory, CPU, files and processes always hold.

===========  ======================================================  ===================================
layer        what it takes away                                      needs
===========  ======================================================  ===================================
namespaces   network, other processes, IPC; all die with the first   root, or user namespaces
account      the agent's account                                     root
landlock     every file but programs, libraries and the work; TCP    Linux 5.13 (TCP 6.7)
syscalls     sockets, io_uring, ptrace, mounts, keys (seccomp)       x86-64 or ARM64
===========  ======================================================  ===================================

Capabilities and the way back to them (no_new_privs) always go. Sources: capabilities(7), namespaces(7), landlock(7),
seccomp(2), linux/audit.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import select
import signal
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

_PDEATHSIG, _DUMPABLE, _SECCOMP, _CAPBSET_DROP, _NO_NEW_PRIVS, _CAP_AMBIENT = 1, 4, 22, 24, 38, 47
_AMBIENT_CLEAR_ALL = 4
_FILTER = 2
_NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_CAPABILITIES_V3 = 0x20080522
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
#: The account that owns nothing (kernel.overflowuid).
_NOBODY = 65534


class Layer(StrEnum):
    """What holds around the decoding process."""

    NAMESPACES = "namespaces"
    ACCOUNT = "account"
    LANDLOCK = "landlock"
    SYSCALLS = "syscalls"


class Bounds(NamedTuple):
    """Memory (bytes), CPU time (seconds) and output (bytes) of each process."""

    memory: int
    cpu: int
    output: int


# tshark maps 320 MiB: about 100 MiB are its libraries, read from files and shared; the rest is mostly unused.
_LIBRARIES = 96 << 20
_UNUSED = 192 << 20
_PROCESSES = 64
_FILES = 64

# Denied calls by machine: socket, ptrace, mount, unshare, setns, process_vm_readv, process_vm_writev, bpf,
# perf_event_open, userfaultfd, keyctl, add_key, request_key, io_uring_setup.
_DENIED: MappingProxyType[str, tuple[int, tuple[int, ...]]] = MappingProxyType(
    {
        "x86_64": (0xC000003E, (41, 101, 165, 272, 308, 310, 311, 321, 298, 323, 250, 248, 249, 425)),
        "aarch64": (0xC00000B7, (198, 117, 40, 97, 268, 270, 271, 280, 241, 282, 219, 217, 218, 425)),
    }
)
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _prctl(_PDEATHSIG, signal.SIGKILL)


def enter(bounds: Bounds, *, readable: Sequence[Path]) -> list[Layer]:
    """Continue in a child that has given up everything; the caller's process waits for it and exits as it does.

    Args:
        bounds: for this process and each that it starts.
        readable: files and directories that may be read (and run), beside the Python installation and the system's.

    Returns the layers that are in force, in the child. Raises OSError if not even a child can be made.
    """
    layers = []
    namespaces = _leave_namespaces()
    if namespaces:
        layers.append(Layer.NAMESPACES)
    _continue_in_child()
    with suppress(OSError):
        # A service manager may forbid it; decoding then is as urgent as the rest.
        os.nice(10)
    # Made while everything can still be reached.
    rules = _file_rules(readable)
    if _change_account():
        layers.append(Layer.ACCOUNT)
    _drop_capabilities()
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_DUMPABLE, 0)
    _limit(bounds)
    if rules is not None and _libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0:
        layers.append(Layer.LANDLOCK)
    if _filter_calls():
        layers.append(Layer.SYSCALLS)
    return layers


def _leave_namespaces() -> bool:
    wanted = _NEW_NET | _NEW_PID | _NEW_IPC | _NEW_UTS
    return any(_libc.unshare(flags) == 0 for flags in (wanted, wanted | _NEW_USER))


def _continue_in_child() -> None:
    """Fork: a process gets into a new PID namespace by being born there. Both die with the agent."""
    alive, held = os.pipe()
    child = os.fork()
    if child:
        os.close(alive)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    os.close(held)
    die_with_parent()
    # It may have died before that; then the pipe is closed at its other end.
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)
    os.set_inheritable(alive, False)


def _change_account() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError:
        return False
    # A change of account undoes it.
    die_with_parent()
    return True


def _drop_capabilities() -> None:
    with suppress(OSError):
        _prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    for number in range(64):
        if _libc.prctl(_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break
    header = struct.pack("=Ii", _CAPABILITIES_V3, 0)
    if _libc.capset(header, bytes(24)) != 0:
        _failed("capset")


def _limit(bounds: Bounds) -> None:
    for what, value in (
        (resource.RLIMIT_DATA, bounds.memory - _LIBRARIES),
        (resource.RLIMIT_AS, bounds.memory + _UNUSED),
        (resource.RLIMIT_CPU, bounds.cpu),
        (resource.RLIMIT_FSIZE, bounds.output),
        (resource.RLIMIT_NPROC, _PROCESSES),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        hard = resource.getrlimit(what)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (bound, bound))


def _file_rules(readable: Sequence[Path]) -> int | None:
    """Landlock: read and run what is needed, write nothing, no TCP, no signals and abstract sockets to others."""
    abi = _libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if abi < 1:
        return None
    rights = (1 << 13) - 1
    for since, right in ((2, 13), (3, 14), (5, 15)):
        rights |= 1 << right if abi >= since else 0
    network = 3 if abi >= 4 else 0
    scoped = 3 if abi >= 6 else 0
    attributes = struct.pack("=QQQ", rights, network, scoped)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = int(_libc.syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0))
    if rules < 0:
        return None
    for path in _needed(readable):
        _allow_reading(rules, path)
    return rules


def _needed(readable: Sequence[Path]) -> list[Path]:
    system = [Path(name) for name in ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime")]
    system += [Path("/dev/null"), Path("/dev/urandom")]
    python = [Path(sys.prefix), Path(sys.base_prefix), *(Path(entry) for entry in sys.path if entry)]
    return [path for path in (*system, *python, *readable) if path.exists()]


def _allow_reading(rules: int, path: Path) -> None:
    execute, read_file, read_directory = 1, 4, 8
    rights = execute | read_file | (read_directory if path.is_dir() else 0)
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _libc.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", rights, opened), 0)
    finally:
        os.close(opened)


def _filter_calls() -> bool:
    known = _DENIED.get(platform.machine())
    if known is None:
        return False
    architecture, denied = known
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    kill, refuse, allow = 0x80000000, 0x00050001, 0x7FFF0000
    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, kill), (load, 0, 0, 0)]
    # The x32 calls have numbers of their own.
    steps += [(at_least, 0, 1, 0x40000000), (give, 0, 0, kill)]
    for number in denied:
        steps += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    steps.append((give, 0, 0, allow))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    pointer = struct.pack("@HP", len(steps), ctypes.addressof(program))
    return bool(_libc.prctl(_SECCOMP, _FILTER, pointer, 0, 0) == 0)


def _prctl(what: int, value: int) -> None:
    if _libc.prctl(what, value, 0, 0, 0) != 0:
        _failed("prctl")


def _failed(call: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}")
