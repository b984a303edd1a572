"""What the demo says where nobody watches."""

from __future__ import annotations

import pytest

from schoolwacht_console.demo.display import Snapshot, display


def test_counters_that_stand_still_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with display({}, seconds=0.0) as screen:
        for stored in (5, 5, 5, 6):
            screen.show(Snapshot((), stored, 0.0, 0, 0))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[1] for line in lines] == ["5 events stored (0/s)", "6 events stored (0/s)"]
