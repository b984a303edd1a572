"""Which detections of the catalogue an engine leaves out, because it does not give what they are made of.

Behaviour says for itself which records it needs, our own signatures name their detection in their metadata; what the
collector detects in single records is in a table here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from schoolwacht.event import Dataset
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.sources.suricata.rules import own_rules

#: Detections at the collector over single records of the agent: docs/detections.md.
AT_COLLECTOR: MappingProxyType[str, Dataset] = MappingProxyType(
    {"D06": Dataset.KRB5, "D07": Dataset.FLOW, "D14": Dataset.SMB, "D15": Dataset.TLS}
)
_DETECTION = re.compile(r"\bdetection (D\d\d)\b")


def signed() -> frozenset[str]:
    """Detections that our own signatures serve. Raises SourceError if the installation lacks them."""
    return frozenset(found for path in own_rules() for found in _DETECTION.findall(path.read_text(encoding="utf-8")))


def left_out(sees: frozenset[Dataset]) -> dict[str, str]:
    """Detections that cannot work with an engine that gives only these records, each with what it lacks.

    ``Dataset.SIGNAL`` among them says that the engine has signatures. Raises SourceError like :func:`signed`.
    """
    missing: dict[str, str] = {}
    if Dataset.SIGNAL not in sees:
        missing = dict.fromkeys(signed(), "signatures")
    for detector in Behaviour(BehaveSettings()).detectors:
        if not detector.datasets & sees:
            missing[detector.id] = " or ".join(sorted(dataset.value for dataset in detector.datasets)) + " records"
        else:
            # What behaviour sees too is not left out for want of a signature.
            missing.pop(detector.id, None)
    for detection, dataset in AT_COLLECTOR.items():
        if dataset not in sees:
            missing[detection] = f"{dataset.value} records"
    return dict(sorted(missing.items()))


def listed(missing: Mapping[str, str]) -> str:
    """What :func:`left_out` found, in words: ``D03 (arp records); D09, D16 (signatures)``."""
    by_need: dict[str, list[str]] = {}
    for detection, need in missing.items():
        by_need.setdefault(need, []).append(detection)
    return "; ".join(f"{', '.join(ids)} ({need})" for need, ids in sorted(by_need.items()))
