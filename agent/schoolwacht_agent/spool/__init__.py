"""The durable queue between capture and delivery; the only one in the whole system.

One process writes (:class:`Writer`), one reads (:class:`Reader`); both may be the same. They meet in files only::

    SPOOL/
      signals/ events/      the two lanes, each a log of segments (``format``)
      head                  how far the lanes are durable, written by the writer after each commit
      ledger                epoch, and what was dropped, written by the writer
      cursor                what is settled, written by the reader
      rejected/             events that no collector takes, with the reason
      lock, *.claim         mutual exclusion

Promises (docs/promises.md, shown by tests/schoolwacht_agent/spool/test_machine.py):

1. What :meth:`Writer.append` has returned for is on disk: it survives kill -9 and a power cut, once and in order.
2. The source's mark and the kept events are always in step, so that a source that can be read again loses nothing
   and doubles nothing.
3. A damaged byte costs the record it lies in, and every loss is counted. Nothing ever has to be deleted by hand.
4. A full disk or a failed fsync never corrupts and is never taken for success: the segment is abandoned, ``append``
   raises, and the same events can be appended again when the disk is well.

Limits: the spool is bounded in bytes and age; beyond them the oldest events go first, signals only when nothing
else is left. One group (one call of ``append``) is held in memory whole.
"""

from __future__ import annotations

from schoolwacht_agent.spool.format import Lane
from schoolwacht_agent.spool.pack import Packed, pack
from schoolwacht_agent.spool.reader import Item, Portion, Reader
from schoolwacht_agent.spool.rejected import SetAside
from schoolwacht_agent.spool.report import Report, account, look
from schoolwacht_agent.spool.writer import Writer

__all__ = ["Item", "Lane", "Packed", "Portion", "Reader", "Report", "SetAside", "Writer", "account", "look", "pack"]
