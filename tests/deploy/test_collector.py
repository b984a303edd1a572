"""What deploy/collector holds works: settings load, proxies take their files, the unit allows no more than said."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from schoolwacht_collector import cli, config
from schoolwacht_collector.config import StoreName
from tests.parts import ROOT, missing, program

COLLECTOR = ROOT / "deploy" / "collector"
UNIT = COLLECTOR / "systemd" / "schoolwacht-collector.service"
#: Exposure times ten, as systemd-analyze wants it (promise 16).
MOST = 15


def test_the_service_has_no_more_rights_than_promised() -> None:
    analyse = program("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyse, "security", "--offline=true", "--no-pager", f"--threshold={MOST}", str(UNIT)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:]
    assert "Overall exposure level" in done.stdout
    assert "ignoring" not in done.stderr, done.stderr


def test_the_service_runs_a_command_that_exists_and_waits_until_it_has_stopped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = UNIT.read_text()
    (line,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    name, command, *_ = shlex.split(line)
    assert Path(name).name == "schoolwacht-collector"
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    capsys.readouterr()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert float(seconds) > config.Settings().intake.stop_seconds


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("collector.toml", StoreName.ELASTICSEARCH),
        ("collector-sqlite.toml", StoreName.SQLITE),
        ("compose.toml", StoreName.ELASTICSEARCH),
    ],
)
def test_the_sample_settings_load(name: str, kind: StoreName) -> None:
    assert config.load(COLLECTOR / name).store.kind is kind


def test_every_credential_that_the_settings_name_is_handed_over() -> None:
    named = set(
        re.findall(
            r"/run/credentials/schoolwacht-collector\.service/([\w.]+)", (COLLECTOR / "collector.toml").read_text()
        )
    )
    given = set(re.findall(r"^LoadCredential=([\w.]+):", (UNIT.parent / "keys.conf").read_text(), re.MULTILINE))
    assert named == given
    assert named


def test_every_port_of_the_settings_may_be_bound() -> None:
    allowed = set(re.findall(r"^SocketBindAllow=tcp:(\d+)$", UNIT.read_text(), re.MULTILINE))
    settings = config.load(COLLECTOR / "collector.toml")
    wanted = (settings.intake.listen, settings.console.listen, settings.metrics.listen)
    assert {listen.rpartition(":")[2] for listen in wanted} == allowed


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    nginx = program("nginx", "nginx-light")
    if not list(Path("/etc/nginx/modules-enabled").glob("*stream*.conf")):
        missing("nginx has no module for streams (Debian package libnginx-mod-stream)")
    done = subprocess.run(
        [nginx, "-t", "-c", COLLECTOR / "nginx.conf", "-g", f"pid {tmp_path / 'pid'};"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_haproxy_takes_its_file() -> None:
    haproxy = program("haproxy", "haproxy")
    done = subprocess.run(
        [haproxy, "-c", "-f", COLLECTOR / "haproxy.cfg"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_trial_names_files_and_commands_that_there_are() -> None:
    """Its syntax; docker itself is not run."""
    trial = yaml.safe_load((COLLECTOR / "compose.yaml").read_text())
    assert set(trial) == {"services", "volumes"}
    collector = trial["services"]["collector"]
    assert set(collector["depends_on"]) == set(trial["services"]) - {"collector"}
    script = collector["command"][-1]
    for file in re.findall(r"--config (\S+)", script):
        assert (ROOT / file).is_file()
    assert [word for word in ("init", "serve") if f"schoolwacht-collector {word}" in script] == ["init", "serve"]
    mounted = {volume.partition(":")[0] for service in trial["services"].values() for volume in service["volumes"]}
    assert mounted - {"../.."} == set(trial["volumes"])
