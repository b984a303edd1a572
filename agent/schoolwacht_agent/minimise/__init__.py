"""Minimise: what leaves the school is made little before it is kept (docs/privacy.md).

``treatment.py`` has the table; ``step.py`` the step; ``keys.py`` the board's key; ``register.py`` what can be unmasked.
"""
