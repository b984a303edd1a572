"""What an agent says of its own book-keeping, as it travels."""

from __future__ import annotations

import pytest

from schoolwacht.account import Account, Totals, decode_account, encode_account
from schoolwacht.errors import WireError

EPOCH = "0123456789abcdef"


def test_a_report_is_read_as_it_was_written() -> None:
    account = Account(EPOCH, Totals(kept=(3, 4), sent=5), shed={"2026-11-24T09:00:00": 2})
    assert decode_account(encode_account(account)) == account


@pytest.mark.parametrize("count", [-1, (1 << 48) + 1, (1 << 63) - 1])
def test_a_count_that_no_spool_reaches_is_refused(count: int) -> None:
    with pytest.raises(WireError, match="no account of a spool"):
        decode_account(encode_account(Account(EPOCH, Totals(sent=count))))
