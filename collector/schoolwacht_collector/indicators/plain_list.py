"""A plain list: one value a line, its type seen from its form; ``#`` begins a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from schoolwacht.errors import IndicatorError
from schoolwacht_collector.indicators.port import Format, Found, Record, Text, lines


def _read(text: Text) -> Iterator[Found]:
    for line in lines(text):
        if isinstance(line, IndicatorError):
            yield line
        else:
            yield Record(line[0], {"value": re.split(r"\s+#", line[1], maxsplit=1)[0]})


FORMAT = Format(lambda _: True, _read, "one value a line, its type seen from its form")
