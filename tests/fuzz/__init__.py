"""Harnesses that feed each parser of ours hostile input: ``python -m tests.fuzz.NAME --seconds N``.

Every harness is a function of bytes that must return: an exception that is not the parser's own, or an input that
takes longer than :data:`~tests.fuzz.harness.SLOW`, is a finding, printed with its bytes. Inputs are real samples,
damaged at random (seeded, so that a run can be had again); ``tests.fuzz.by_coverage`` lets atheris choose them by
coverage where it is installed (``uv sync --group fuzz``). A short share of each runs with the tests.
"""
