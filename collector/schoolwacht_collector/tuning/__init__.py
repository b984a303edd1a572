"""Tuning: which alerts nobody is told of, and which close by themselves. Signals are never deleted for it.

``rule`` says what a tuning rule or a registered test covers (pure), ``judge`` asks the store for what the alert itself
does not say, ``change`` is what people do, ``care`` the leader's job, ``report`` what a test set off and what not.
"""
