"""What a process in the sandbox cannot do. Each test runs one, and looks at what it says."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

_BEGIN = """
import os, resource, socket, sys
from pathlib import Path
from schoolwacht_agent.evidence.sandbox import Bounds, enter
layers = enter(Bounds(256 << 20, 5, 1 << 16), readable=[])
"""


def said(script: str, *, account: int | None = None) -> str:
    command = [sys.executable, "-c", _BEGIN + script]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, user=account, group=account,
        extra_groups=None if account is None else [],
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip().split("\n")[-1]


def test_it_opens_no_socket() -> None:
    assert said("socket.socket()").startswith("PermissionError")


def test_it_has_no_interface_but_a_dead_loopback() -> None:
    assert said("print(layers[0].value, [name for _, name in socket.if_nameindex()])") in {
        "namespaces ['lo']", "",
    } or "PermissionError" in said("socket.if_nameindex()")  # fmt: skip


def test_it_reads_no_file_of_the_agent(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("secret")
    secret.chmod(0o644)
    assert said(f"open({str(secret)!r})").startswith("PermissionError")


def test_it_writes_no_file(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert said(f"open({str(tmp_path / 'new')!r}, 'w')").startswith("PermissionError")
    assert list(tmp_path.iterdir()) == []


def test_it_has_no_capability_and_no_way_to_one() -> None:
    status = said(
        "status = dict(line.split(':\\t', 1) for line in os.popen('cat /proc/$$/status').read().splitlines())\n"
        "print(status)"
    )
    if "CapEff" in status:
        assert "'CapEff': '0000000000000000'" in status
        assert "'NoNewPrivs': '1'" in status
    else:
        # It cannot even ask; what it may do tells it.
        assert said("os.setuid(0)").startswith("PermissionError")
        assert said("os.sethostname('x')" if hasattr(__import__("os"), "sethostname") else "os.chroot('/')").startswith(
            "PermissionError"
        )


def test_it_gets_no_more_memory_than_its_bound() -> None:
    assert said("x = [bytearray(1 << 20) for _ in range(500)]").startswith("MemoryError")


def test_it_writes_no_more_output_than_its_bound() -> None:
    script = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nprint(resource.getrlimit(resource.RLIMIT_FSIZE))"
    )
    assert said(script) == f"({1 << 16}, {1 << 16})"


def test_it_can_trace_nobody_and_make_no_namespace() -> None:
    script = "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nprint({}, ctypes.get_errno())"
    if platform.machine() in {"x86_64", "aarch64"}:
        assert said(script.format("c.unshare(0x10000000)")) == "-1 1"
        assert said(script.format("c.ptrace(0, 0, 0, 0)")) == "-1 1"


def test_all_layers_hold_on_a_current_linux() -> None:
    layers = said("print(*(layer.value for layer in layers))").split()
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if platform.machine() in {"x86_64", "aarch64"}:
        assert "syscalls" in layers
    if release >= (5, 13) and "landlock" not in layers:
        pytest.skip("this kernel was made or started without Landlock")
    assert "landlock" in layers or release < (5, 13)


def test_its_exit_code_is_what_the_child_ended_with() -> None:
    done = subprocess.run([sys.executable, "-c", _BEGIN + "os._exit(7)"], check=False, timeout=60)
    assert done.returncode == 7
