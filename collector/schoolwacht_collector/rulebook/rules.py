"""Signatures as text: number, revision, message, whether they are on; and what two rule books differ in. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_RULE = re.compile(r"^(?P<off>#\s*)?(?P<action>alert|drop|pass|reject\w*)\s+\S[^(]*\(.*\)\s*$")
_SID = re.compile(r"[;(\s]sid\s*:\s*(\d+)\s*;")
_REV = re.compile(r"[;(\s]rev\s*:\s*(\d+)\s*;")
_MESSAGE = re.compile(r'msg\s*:\s*"((?:[^"\\]|\\.)*)"')
#: Rules that a summary names of each sort.
NAMED = 10


class Rule(NamedTuple):
    """One signature. ``text`` is without the mark that switches it off."""

    sid: int
    rev: int
    message: str
    on: bool
    text: str


class Difference(NamedTuple):
    """What a new rule book does to an old one; rules of the new one, save those removed."""

    added: list[Rule]
    removed: list[Rule]
    changed: list[Rule]
    switched_on: list[Rule]
    switched_off: list[Rule]

    @property
    def empty(self) -> bool:
        return not any(self)


def rules_of(texts: Iterable[str]) -> dict[int, Rule]:
    """The signatures of some files by number; of two the last, one that is on before one that is off."""
    found: dict[int, Rule] = {}
    for text in texts:
        for line in text.splitlines():
            match = _RULE.match(line.strip())
            number = _SID.search(line) if match else None
            if match is None or number is None:
                continue
            rev, message = _REV.search(line), _MESSAGE.search(line)
            body = line.strip()[len(match["off"] or "") :]
            rule = Rule(
                int(number[1]), int(rev[1]) if rev else 0, message[1] if message else "", not match["off"], body
            )
            if rule.on or rule.sid not in found or not found[rule.sid].on:
                found[rule.sid] = rule
    return found


def difference(old: Mapping[int, Rule], new: Mapping[int, Rule]) -> Difference:
    """What differs, by number."""
    both = [(old[sid], new[sid]) for sid in sorted(old.keys() & new.keys())]
    return Difference(
        added=[new[sid] for sid in sorted(new.keys() - old.keys())],
        removed=[old[sid] for sid in sorted(old.keys() - new.keys())],
        changed=[after for before, after in both if before.text != after.text],
        switched_on=[after for before, after in both if after.on and not before.on],
        switched_off=[after for before, after in both if before.on and not after.on],
    )


def in_words(found: Difference) -> list[str]:
    """A difference as lines of text: how many of each sort, and the first of them by name."""
    if found.empty:
        return ["nothing changes"]
    lines: list[str] = []
    for title, rules in (
        ("added", found.added),
        ("removed", found.removed),
        ("changed", found.changed),
        ("switched on", found.switched_on),
        ("switched off", found.switched_off),
    ):
        if not rules:
            continue
        families = Counter(_family(rule) for rule in rules).most_common(5)
        lines.append(f"{len(rules):,} {title} ({', '.join(f'{name}: {number:,}' for name, number in families)})")
        lines += [f"  {rule.sid} rev {rule.rev}: {rule.message}" for rule in rules[:NAMED]]
        if len(rules) > NAMED:
            lines.append(f"  and {len(rules) - NAMED:,} more")
    return lines


def _family(rule: Rule) -> str:
    """``ET MALWARE`` of ``ET MALWARE Some Trojan CnC``: the words in capitals that a message begins with."""
    words = rule.message.split()
    leading = next((place for place, word in enumerate(words) if not word.isupper()), len(words))
    return " ".join(words[: min(leading, 2)]) or "other"
