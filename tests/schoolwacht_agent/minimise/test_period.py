from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.minimise.period import Period, name_of, number_of, start_of


@given(
    st.sampled_from(Period),
    st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9990, 1, 1), timezones=st.just(UTC)),
)
def test_every_moment_lies_in_its_period_and_in_no_other(period: Period, moment: datetime) -> None:
    number = number_of(period, moment)
    assert start_of(period, number) <= moment < start_of(period, number + 1)


@pytest.mark.parametrize(
    ("period", "name"), [(Period.WEEK, "2026w48"), (Period.MONTH, "202611"), (Period.YEAR, "2026")]
)
def test_a_period_is_named_as_people_write_it(period: Period, name: str) -> None:
    assert name_of(period, number_of(period, datetime(2026, 11, 24, tzinfo=UTC))) == name


def test_a_week_begins_on_monday() -> None:
    assert start_of(Period.WEEK, number_of(Period.WEEK, datetime(2026, 11, 24, tzinfo=UTC))).isoweekday() == 1
