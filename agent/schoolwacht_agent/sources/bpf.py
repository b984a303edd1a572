"""A capture filter in the language of tcpdump, compiled by libpcap to what the kernel runs (pcap-filter(7)).

The kernel takes the outer VLAN tag off before the filter sees a frame: a filter for what is inside works on tagged
traffic as it stands, and the word ``vlan`` finds only a second tag.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache

from schoolwacht.errors import SourceError

FIELD = "source.filter"
#: Longest packet that a filter lets through whole.
_SNAP = 262_144
_NETMASK_UNKNOWN = 0xFFFFFFFF
#: Size of one instruction (linux/filter.h, sock_filter).
INSTRUCTION = 8
#: The kernel takes no more instructions (linux/bpf_common.h).
_INSTRUCTIONS_MAX = 4096
#: libpcap's optimiser takes minutes for what is much longer.
_TEXT_MAX = 2000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def hindrance() -> str | None:
    """Why no filter can be compiled here, in plain words; None if one can."""
    return "libpcap is not installed (Debian package libpcap0.8)" if _library() is None else None


def compile_filter(text: str, *, link: int = 1) -> bytes:
    """The instructions of a filter, as the kernel takes them.

    Args:
        text: such as ``not host 10.0.0.5``.
        link: link type of the frames (DLT_ value of libpcap): 1 Ethernet, 12 bare IP.

    Raises SourceError with libpcap's words.
    """
    library = _library()
    if library is None:
        raise SourceError(f"cannot be compiled: {hindrance()}", field=FIELD)
    if not text.isprintable():
        raise SourceError(f"{text!r} is no capture filter: it holds characters that cannot be printed", field=FIELD)
    if len(text) > _TEXT_MAX:
        raise SourceError(f"is longer than {_TEXT_MAX:,} characters: name networks instead of hosts", field=FIELD)
    handle = library.pcap_open_dead(link, _SNAP)
    if not handle:
        raise SourceError(f"cannot be compiled for frames of link type {link}", field=FIELD)
    program = _Program()
    try:
        raw = text.encode("utf-8", "replace")
        if library.pcap_compile(handle, ctypes.byref(program), raw, 1, _NETMASK_UNKNOWN) != 0:
            said = (library.pcap_geterr(handle) or b"").decode("utf-8", "replace")
            raise SourceError(f"{text!r} is no capture filter: {said} (see pcap-filter(7))", field=FIELD)
        try:
            if program.length > _INSTRUCTIONS_MAX:
                raise SourceError("is too long for the kernel", field=FIELD)
            return ctypes.string_at(program.instructions or 0, program.length * INSTRUCTION)
        finally:
            library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)


@cache
def _library() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("pcap") or "libpcap.so.0.8"
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return None
    library.pcap_open_dead.argtypes = (ctypes.c_int, ctypes.c_int)
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_compile.argtypes = (
        ctypes.c_void_p, ctypes.POINTER(_Program), ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32,
    )  # fmt: skip
    library.pcap_geterr.argtypes = (ctypes.c_void_p,)
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_freecode.argtypes = (ctypes.POINTER(_Program),)
    library.pcap_close.argtypes = (ctypes.c_void_p,)
    return library
