"""The real parts that tests run against, and the one rule for a part that is missing.

A test asks for a part by a function or fixture here. Where the part cannot be had, the test skips with the reason;
in CI (``CI=true``) a missing part is a failure, so that nothing is ever silently left untested.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "tests" / "captures"
#: Published captures for development. A clone does not have them; the tests over them then skip, in CI too.
SHARED_CAPTURES = ROOT.parent / "shared" / "captures"


def missing(reason: str) -> NoReturn:
    """Skip for want of a real part; fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI every part must be there: {reason}", pytrace=False)
    pytest.skip(reason)


def program(name: str, package: str) -> Path:
    """The path of a system program, or :func:`missing` naming the Debian package that has it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        missing(f"{name} is not installed (Debian package {package}; deploy/dev/system-packages.sh)")
    return Path(found)


def suricata() -> Path:
    """The real Suricata."""
    return program("suricata", "suricata")


def namespaces() -> None:
    """Leave to make network namespaces (root, or CAP_SYS_ADMIN and CAP_NET_ADMIN)."""
    ip = program("ip", "iproute2")
    name = f"swprobe{os.getpid()}"
    made = subprocess.run([ip, "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        missing(f"no network namespaces here: {made.stderr.strip()}")
    subprocess.run([ip, "netns", "delete", name], check=False)


def shared_capture(name: str) -> Path:
    """A published capture of the development set."""
    path = SHARED_CAPTURES / name
    if not path.exists():
        pytest.skip(f"the development capture {name} is not here (no shared/captures beside the project)")
    return path
