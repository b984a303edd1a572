"""Each write of a spool's life meets a full disk in turn, and each sync a broken one."""

from __future__ import annotations

import pytest

from tests.bench.promises.sweep import sweep


@pytest.mark.parametrize("kind", ["enospc", "eio_sync"])
def test_no_single_failing_operation_costs_or_doubles_an_event(kind: str) -> None:
    swept = sweep(kind)
    assert swept.refusals > 50
    assert not swept.wrong, swept.wrong[:5]
