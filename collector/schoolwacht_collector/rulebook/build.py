"""One set of signatures from many sources, by suricata-update (OISF); and a check by the real Suricata.

suricata-update merges the files that :mod:`.fetch` brought, and applies the operator's enable, disable and modify
files; it fetches nothing itself. The rules of Suricata's own package (decoder events) are not among them: they would
tell of half of all traffic. ``suricata -T`` fails on one bad rule, where a normal start would skip it: so nothing
leaves here that any of the configured versions does not take whole.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

import schoolwacht
from schoolwacht_collector.rulebook.errors import RulebookError
from schoolwacht_collector.rulebook.fetch import Fetched
from schoolwacht_collector.rulebook.settings import RulebookSettings

_SECONDS = 600
_FAULTS = 20
_VERSION = re.compile(r"Suricata version (\d+\.\d+\.\d+)")
_BAD = re.compile(r"error parsing signature \"(?P<rule>.*)\" from file (?P<file>\S+) at line (?P<line>\d+)", re.DOTALL)
_PACKAGE = Path(schoolwacht.__file__).resolve().parent
#: Our own signatures: in the agent's package of a wheel, or in the checkout.
_OWN = (_PACKAGE.parent / "schoolwacht_agent" / "rules" / "suricata", _PACKAGE.parents[1] / "rules" / "suricata")


class _Message(msgspec.Struct, frozen=True):
    message: str = ""


class _Line(msgspec.Struct):
    log_level: str = ""
    engine: _Message = _Message()


def own_rules() -> dict[str, str]:
    """The project's own signatures, text by file name. Raises RulebookError if the installation lacks them."""
    for place in _OWN:
        if found := sorted(place.glob("*.rules")):
            return {path.name: path.read_text(encoding="utf-8") for path in found}
    raise RulebookError(f"Schoolwacht's own signatures are missing: neither {_OWN[0]} nor {_OWN[1]} has any")


def version_of(program: str) -> str:
    """The version of a Suricata program. Raises RulebookError."""
    found = _VERSION.search(_run([program, "-V"]).stdout)
    if found is None:
        raise RulebookError("does not say that it is Suricata", path=program, field="rulebook.suricata")
    return found[1]


def merge(fetched: Sequence[Fetched], settings: RulebookSettings, directory: Path, version: str) -> tuple[str, str]:
    """The signatures of all sources as one text, and the classification file. Raises RulebookError."""
    if not fetched:
        return "", ""
    program = Path(sys.executable).with_name("suricata-update")
    found = str(program) if program.exists() else shutil.which("suricata-update")
    if found is None:
        raise RulebookError("suricata-update is not installed: install schoolwacht[collector], or the Debian package")
    empty = directory / "none"
    empty.mkdir()
    config = directory / "update.yaml"
    config.write_text(f"dist-rule-directory: {json.dumps(str(empty))}\n", encoding="utf-8")
    command = [
        found, "-D", str(directory / "update"), "-c", str(config), "-o", str(directory / "merged"),
        "--suricata-version", version, "--no-test", "--no-reload", "--quiet",
    ]  # fmt: skip
    for name in ("enable", "disable", "modify"):
        given = getattr(settings, name)
        path = Path(given) if given else directory / f"{name}.conf"
        if not given:
            path.touch()
        elif not path.is_file():
            raise RulebookError("is no file", path=given, field=f"rulebook.{name}")
        command += [f"--{name}-conf", str(path)]
    for each in fetched:
        command += ["--url", each.path.as_uri()]
    done = _run(command)
    output = directory / "merged" / "suricata.rules"
    if done.returncode != 0 or not output.exists():
        raise RulebookError(f"suricata-update failed: {_last(done.stderr or done.stdout)}")
    classes = directory / "merged" / "classification.config"
    return output.read_text(encoding="utf-8"), classes.read_text(encoding="utf-8") if classes.exists() else ""


def check(program: str, rules: Sequence[Path], directory: Path, classification: Path | None) -> list[str]:
    """What a Suricata has against some files of signatures, in words; nothing if it takes all of them.

    Raises RulebookError if it cannot be run.
    """
    config = directory / "check.yaml"
    template = files(__package__).joinpath("check.yaml.in").read_text(encoding="utf-8")
    named = "[" + ", ".join(json.dumps(str(path)) for path in rules) + "]"
    text = template.replace("@RULES@", named)
    text += f"classification-file: {json.dumps(str(classification))}\n" if classification else ""
    config.write_text(text, encoding="utf-8")
    logs = directory / "log"
    logs.mkdir(exist_ok=True)
    done = _run([program, "-T", "-c", str(config), "-l", str(logs)])
    if done.returncode == 0:
        return []
    faults = []
    for line in (done.stdout + "\n" + done.stderr).splitlines():
        try:
            said = msgspec.json.decode(line, type=_Line)
        except msgspec.MsgspecError:
            continue
        if said.log_level == "Error":
            bad = _BAD.search(said.engine.message)
            faults.append(
                f"{Path(bad['file']).name}:{bad['line']}: {bad['rule'][:200]}" if bad else said.engine.message
            )
    return faults[:_FAULTS] or [_last(done.stderr or done.stdout)]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        # The programs are the operator's settings and our own; no shell is involved.
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS
        )
    except FileNotFoundError as error:
        raise RulebookError("is not installed", path=command[0], field="rulebook.suricata") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RulebookError(f"cannot be run: {error}", path=command[0]) from error


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "it says nothing"
