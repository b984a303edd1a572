"""Lets atheris choose the inputs of one harness by coverage: ``python -m tests.fuzz.by_coverage MODULE HARNESS``.

    uv sync --group fuzz
    python -m tests.fuzz.by_coverage dissect dissect-dns --seconds 60

It says how many inputs it ran, and leaves what a parser does not bear in a file ``crash-…``.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import tempfile
from pathlib import Path

import atheris


def main() -> None:
    """Load the harness with its parsers instrumented, seed atheris with its samples, and run."""
    parser = argparse.ArgumentParser(description="Inputs by coverage.")
    parser.add_argument("module", help="dissect, packets, eve or wire")
    parser.add_argument("harness", help="its name there")
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    with atheris.instrument_imports(include=["schoolwacht", "schoolwacht_agent"]):
        module = importlib.import_module(f"tests.fuzz.{arguments.module}")
    from tests.fuzz.harness import one  # noqa: PLC0415 - only what is loaded above is instrumented

    (harness,) = (each for each in module.HARNESSES if each.name == arguments.harness)
    logging.disable(logging.CRITICAL)

    def entry(data: bytes) -> None:
        one(harness, data)

    with tempfile.TemporaryDirectory(prefix="sw-fuzz-") as corpus:
        for number, sample in enumerate(harness.samples):
            (Path(corpus) / str(number)).write_bytes(sample[: harness.size])
        bounds = [f"-max_total_time={arguments.seconds}", f"-max_len={harness.size}", "-timeout=20"]
        atheris.Setup([sys.argv[0], corpus, *bounds], entry)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
