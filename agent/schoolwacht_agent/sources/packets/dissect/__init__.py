"""Dissectors: the bytes of one message or of one direction of a stream in, frozen data out.

Every dissector here is pure. It returns None for bytes that are not its protocol, never raises whatever it is given,
and works in time and memory bounded by the length of its input. None of them keeps state between calls: who calls
holds the bytes of a stream and calls again when more have come.
"""
