from __future__ import annotations

import io
import subprocess
import sys

from schoolwacht.terminal import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_terminal_sees_totals_and_the_rate() -> None:
    screen = Terminal()
    with progress("reading a.pcap", stream=screen, clock=Time()) as line:
        line.update(events=5000, packets=70000)
    assert "reading a.pcap: 5,000 events, 70,000 packets, 5,000 events/s" in screen.getvalue()


def test_text_that_looks_like_markup_is_shown_as_it_is() -> None:
    screen = Terminal()
    with progress("reading [red]a.pcap", stream=screen, clock=Time()) as line:
        line.update(events=1)
    assert "[red]a.pcap" in screen.getvalue()


def test_a_file_or_a_pipe_sees_nothing() -> None:
    stream = io.StringIO()
    with progress("reading", stream=stream) as line:
        line.update(events=1)
    assert stream.getvalue() == ""


def test_the_line_is_changed_at_most_ten_times_a_second() -> None:
    moments = iter([0.0, 0.01, 0.02, 0.2])
    screen = Terminal()
    with progress("reading", stream=screen, clock=lambda: next(moments)) as line:
        line.update(events=1)
        line.update(events=2)
        line.update(events=3)
    assert "3 events" in screen.getvalue()
    assert "1 events" not in screen.getvalue()


def test_rich_is_not_loaded_where_nobody_looks() -> None:
    code = (
        "import io, sys; from schoolwacht.terminal import progress\n"
        "with progress('x', stream=io.StringIO()) as line: line.update(events=1)\n"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
