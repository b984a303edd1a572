"""The promises of docs/promises.md in their long form: one command each, with a bound and a printed figure.

    python -m tests.bench.promises.kills         1   no event lost, none doubled, when processes are killed
    python -m tests.bench.promises.power_cut     2   the same over a disk that drops what was not synced
    python -m tests.bench.promises.corruption    3   every byte flipped, every truncation
    python -m tests.bench.promises.full_disk     4   ENOSPC at each write, and on a small file system
    python -m tests.bench.promises.fsync_error   5   EIO at each sync, and injected into the running agent
    python -m tests.bench.promises.outage        6   72 hours without a store
    python -m tests.bench.promises.backlog       7   2 GB waiting at the start
    python -m tests.bench.promises.accounting   12   seen = stored + spooled + dead-lettered + declared lost
    python -m tests.bench.promises.blindness    15   seconds until the alarm

Each prints the bound and what was measured, and ends with status 1 if the promise is not kept. Their short forms run in
the test suite (docs/promises.md names them).
"""
