from __future__ import annotations

import re

from schoolwacht_collector.attack import TACTICS, TECHNIQUES, tactic_names, tactics_of, technique_names

#: What docs/detections.md names.
CATALOGUE = [
    "T1003.006",
    "T1018",
    "T1021.002",
    "T1046",
    "T1048.003",
    "T1071",
    "T1071.001",
    "T1071.004",
    "T1090.003",
    "T1105",
    "T1110",
    "T1110.003",
    "T1133",
    "T1187",
    "T1190",
    "T1210",
    "T1486",
    "T1496",
    "T1498",
    "T1557.003",
    "T1558.003",
    "T1566",
    "T1566.002",
    "T1567",
    "T1572",
    "T1573",
    "T1583.005",
    "T1595",
    "T1598.003",
]


def test_every_technique_of_the_catalogue_has_a_name_and_a_known_tactic() -> None:
    for each in CATALOGUE:
        assert re.match(r"^T\d{4}(\.\d{3})?$", each)
        assert TECHNIQUES[each].name != each
        assert TECHNIQUES[each].tactics
        assert set(TECHNIQUES[each].tactics) <= TACTICS.keys()


def test_a_technique_of_two_tactics_names_both_once() -> None:
    assert tactics_of(["T1133", "T1190"]) == ["TA0001", "TA0003"]
    assert tactic_names(["TA0001", "TA0003", "TA9999"]) == ["Initial Access", "Persistence"]


def test_names_are_names_and_ids_stay_ids() -> None:
    assert technique_names(["T1190", "T9999"]) == ["Exploit Public-Facing Application"]
