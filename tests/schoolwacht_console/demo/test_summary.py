"""A demo is well only if every account agrees."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_console.demo.summary import Accounts, percentile

GOOD = Accounts(
    seen={"a": 10, "b": 5},
    stored={"a": 10, "b": 5},
    derived=3,
    alerts=frozenset({"x", "y"}),
    arrived=frozenset({"x", "y"}),
    delays=[0.5, 1.5],
    notifications=2,
    refused=0,
    failed={},
    seconds=20.0,
)


def test_accounts_that_agree_are_whole() -> None:
    assert GOOD.whole
    summary = GOOD.as_json()
    assert (summary["events"], summary["stored"], summary["lost"], summary["alerts"], summary["delivered"]) == (
        15, 15, 0, 2, 2,
    )  # fmt: skip
    assert summary["seconds_packet_to_cert_p95"] == 1.5


@pytest.mark.parametrize(
    "wrong",
    [
        GOOD._replace(stored={"a": 10, "b": 4}),
        GOOD._replace(stored={"a": 9, "b": 6}),
        GOOD._replace(stored={"a": 11, "b": 5}),
        GOOD._replace(seen={}, stored={}),
        GOOD._replace(arrived=frozenset({"x"})),
        GOOD._replace(arrived=frozenset({"x", "y", "z"})),
        GOOD._replace(failed={"a": 1}),
        GOOD._replace(refused=1),
    ],
)
def test_any_gap_is_seen(wrong: Accounts) -> None:
    assert not wrong.whole
    assert wrong.as_json()["ok"] is False


def test_what_one_agent_has_too_much_does_not_hide_what_another_lost() -> None:
    assert GOOD._replace(stored={"a": 9, "b": 6}).lost == 1


@given(st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found is not None
    assert sum(value <= found + 0.001 for value in values) >= math.ceil(share * len(values))
    assert any(math.isclose(value, found, abs_tol=0.001) for value in values)


def test_no_values_have_no_percentile() -> None:
    assert percentile([], 0.95) is None
