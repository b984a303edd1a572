"""MITRE ATT&CK: name and tactics of the techniques that the catalogue of detections uses.

Ids stay ids and names stay names; a technique outside the table keeps its id and gets no name.
Source: ATT&CK Enterprise, attack.mitre.org. A sub-technique is named after its technique, as its page is.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import NamedTuple


class Technique(NamedTuple):
    """A technique: its name and the ids of its tactics."""

    name: str
    tactics: tuple[str, ...]


TACTICS: MappingProxyType[str, str] = MappingProxyType(
    {
        "TA0001": "Initial Access",
        "TA0002": "Execution",
        "TA0003": "Persistence",
        "TA0006": "Credential Access",
        "TA0007": "Discovery",
        "TA0008": "Lateral Movement",
        "TA0009": "Collection",
        "TA0010": "Exfiltration",
        "TA0011": "Command and Control",
        "TA0040": "Impact",
        "TA0042": "Resource Development",
        "TA0043": "Reconnaissance",
    }
)

TECHNIQUES: MappingProxyType[str, Technique] = MappingProxyType(
    {
        "T1003.006": Technique("OS Credential Dumping: DCSync", ("TA0006",)),
        "T1018": Technique("Remote System Discovery", ("TA0007",)),
        "T1021.002": Technique("Remote Services: SMB/Windows Admin Shares", ("TA0008",)),
        "T1046": Technique("Network Service Discovery", ("TA0007",)),
        "T1048.003": Technique(
            "Exfiltration Over Alternative Protocol: Exfiltration Over Unencrypted Non-C2 Protocol", ("TA0010",)
        ),
        "T1059": Technique("Command and Scripting Interpreter", ("TA0002",)),
        "T1071": Technique("Application Layer Protocol", ("TA0011",)),
        "T1071.001": Technique("Application Layer Protocol: Web Protocols", ("TA0011",)),
        "T1071.004": Technique("Application Layer Protocol: DNS", ("TA0011",)),
        "T1090": Technique("Proxy", ("TA0011",)),
        "T1090.003": Technique("Proxy: Multi-hop Proxy", ("TA0011",)),
        "T1105": Technique("Ingress Tool Transfer", ("TA0011",)),
        "T1110": Technique("Brute Force", ("TA0006",)),
        "T1110.003": Technique("Brute Force: Password Spraying", ("TA0006",)),
        "T1133": Technique("External Remote Services", ("TA0001", "TA0003")),
        "T1187": Technique("Forced Authentication", ("TA0006",)),
        "T1190": Technique("Exploit Public-Facing Application", ("TA0001",)),
        "T1210": Technique("Exploitation of Remote Services", ("TA0008",)),
        "T1486": Technique("Data Encrypted for Impact", ("TA0040",)),
        "T1496": Technique("Resource Hijacking", ("TA0040",)),
        "T1498": Technique("Network Denial of Service", ("TA0040",)),
        "T1498.002": Technique("Network Denial of Service: Reflection Amplification", ("TA0040",)),
        "T1499": Technique("Endpoint Denial of Service", ("TA0040",)),
        "T1505.003": Technique("Server Software Component: Web Shell", ("TA0003",)),
        "T1552.001": Technique("Unsecured Credentials: Credentials In Files", ("TA0006",)),
        "T1557.003": Technique("Adversary-in-the-Middle: DHCP Spoofing", ("TA0006", "TA0009")),
        "T1558.003": Technique("Steal or Forge Kerberos Tickets: Kerberoasting", ("TA0006",)),
        "T1558.004": Technique("Steal or Forge Kerberos Tickets: AS-REP Roasting", ("TA0006",)),
        "T1566": Technique("Phishing", ("TA0001",)),
        "T1566.001": Technique("Phishing: Spearphishing Attachment", ("TA0001",)),
        "T1566.002": Technique("Phishing: Spearphishing Link", ("TA0001",)),
        "T1567": Technique("Exfiltration Over Web Service", ("TA0010",)),
        "T1572": Technique("Protocol Tunneling", ("TA0011",)),
        "T1573": Technique("Encrypted Channel", ("TA0011",)),
        "T1583.005": Technique("Acquire Infrastructure: Botnet", ("TA0042",)),
        "T1590.002": Technique("Gather Victim Network Information: DNS", ("TA0043",)),
        "T1595": Technique("Active Scanning", ("TA0043",)),
        "T1595.002": Technique("Active Scanning: Vulnerability Scanning", ("TA0043",)),
        "T1598.003": Technique("Phishing for Information: Spearphishing Link", ("TA0043",)),
    }
)


def technique_names(ids: Iterable[str]) -> list[str]:
    """The names of those techniques that the table knows, in the given order."""
    return [TECHNIQUES[each].name for each in ids if each in TECHNIQUES]


def tactics_of(ids: Iterable[str]) -> list[str]:
    """The ids of the tactics that these techniques serve, each once, in order of first mention."""
    return list(dict.fromkeys(tactic for each in ids if each in TECHNIQUES for tactic in TECHNIQUES[each].tactics))


def tactic_names(ids: Iterable[str]) -> list[str]:
    """The names of those tactics that the table knows, in the given order."""
    return [TACTICS[each] for each in ids if each in TACTICS]
