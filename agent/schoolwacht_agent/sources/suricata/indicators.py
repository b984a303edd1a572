"""Indicators inside Suricata: data sets of names and fingerprints, reputation of addresses, and the signatures on them.

Suricata's alerts mark the flow and the packets (evidence) of a hit, at the moment it happens; the step ``match`` makes
the indicator's signal of them. Another set is taken in by a reload beside the running signatures: no restart, and
packets are judged by the old ones until the new ones are there.

==================  ===================================================================
indicator           in Suricata
==================  ===================================================================
address, network    iprep, category ``SWBad``, either end of a flow
domain              data set over DNS questions, TLS server names, HTTP hosts; the name, its last 2 and 3 labels
ja3, ja4            data set over the client's fingerprint
certificate-sha1    data set over the certificate's fingerprint
==================  ===================================================================

Limits: a data set knows no sub-domains, so those of a domain of four labels or more are found by the step ``match``
alone, as are SHA-256 (which Suricata 7 does not have) and names of certificates. Numbers of the signatures:
9102401-9102499 (rules/suricata/README.md).
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from schoolwacht.errors import IndicatorError, SourceError
from schoolwacht.indicators import IndicatorType, Known, read_lines
from schoolwacht_agent.indicators.keep import path_of
from schoolwacht_agent.indicators.table import lines_of
from schoolwacht_agent.sources.suricata.command import order

log = logging.getLogger(__name__)

RULES = "indicators.rules"
CATEGORIES = "categories.txt"
REPUTATION = "reputation.list"
CATEGORY = "SWBad"
LOOK_SECONDS = 1.0
#: What Suricata calls the reload that it does beside its other work.
RELOAD = "ruleset-reload-nonblocking"

#: File of a data set → what goes into it.
_SETS = {
    "domains.lst": IndicatorType.DOMAIN,
    "ja3.lst": IndicatorType.JA3,
    "ja4.lst": IndicatorType.JA4,
    "certificates.lst": IndicatorType.CERTIFICATE_SHA1,
}
_METADATA = (
    "metadata:detection D24, mitre_technique_id T1071, mitre_technique_name Application_Layer_Protocol, "
    "mitre_tactic_id TA0011, mitre_tactic_name Command_and_Control, signature_severity Major, confidence High;"
)
#: Number, protocol, ends, title, and what is compared.
_LAST2, _LAST3 = (rf'pcrexform:"((?:[^.]+\.){{{labels}}}[^.]+)$";' for labels in (1, 2))
_SIGNATURES = (
    (1, "dns", "known bad domain looked up", "dns.query;", "domains"),
    (2, "tls", "known bad domain by TLS", "tls.sni;", "domains"),
    (3, "http", "known bad domain by HTTP", "http.host;", "domains"),
    (21, "dns", "name below a known bad domain looked up", f"dns.query; {_LAST2}", "domains"),
    (22, "tls", "name below a known bad domain by TLS", f"tls.sni; {_LAST2}", "domains"),
    (23, "http", "name below a known bad domain by HTTP", f"http.host; {_LAST2}", "domains"),
    (31, "dns", "name below a known bad domain of three labels looked up", f"dns.query; {_LAST3}", "domains"),
    (32, "tls", "name below a known bad domain of three labels by TLS", f"tls.sni; {_LAST3}", "domains"),
    (33, "http", "name below a known bad domain of three labels by HTTP", f"http.host; {_LAST3}", "domains"),
    (4, "tls", "known bad JA3", "ja3.hash;", "ja3"),
    (5, "tls", "known bad JA4", "ja4.hash;", "ja4"),
    (6, "tls", "known bad certificate", "tls.cert_fingerprint;", "certificates"),
)


def signatures() -> str:
    """The text of the rule file. One signal a pair of hosts in a minute: a flow may have thousands of packets."""
    lines = ["# Made by schoolwacht-agent; the data sets beside this file hold the indicators of the moment."]
    for number, protocol, title, where, name in _SIGNATURES:
        lines.append(
            f'alert {protocol} any any -> any any (msg:"SW D24 {title}"; {where} '
            f"dataset:isset,sw-{name},type string,load {name}.lst; classtype:trojan-activity; "
            f"sid:91024{number:02}; rev:1; {_METADATA})"
        )
    lines.append(
        f'alert ip any any -> any any (msg:"SW D24 known bad address"; iprep:any,{CATEGORY},>,0; '
        "threshold:type limit, track by_both, count 1, seconds 60; classtype:trojan-activity; "
        f"sid:9102411; rev:1; {_METADATA})"
    )
    return "\n".join(lines) + "\n"


def write(directory: Path, indicators: Iterable[Known]) -> int:
    """Write the files that Suricata loads; each is replaced whole. How many indicators it will know. Raises OSError."""
    texts: dict[str, list[str]] = {name: [] for name in _SETS}
    named = {kind: name for name, kind in _SETS.items()}
    reputation: list[str] = []
    for known in indicators:
        if known.type in {IndicatorType.ADDRESS, IndicatorType.NETWORK}:
            reputation.append(f"{known.value},1,127\n")
        elif (name := named.get(known.type)) is not None:
            texts[name].append(base64.b64encode(_as_suricata_writes(known).encode()).decode() + "\n")
    number = len(reputation) + sum(map(len, texts.values()))
    files = {name: "".join(lines) for name, lines in texts.items()} | {
        RULES: signatures(),
        CATEGORIES: f"1,{CATEGORY},Indicators of Schoolwacht\n",
        REPUTATION: "".join(reputation),
    }
    for name, text in files.items():
        new = directory / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.replace(directory / name)
    return number


def _as_suricata_writes(known: Known) -> str:
    if known.type is not IndicatorType.CERTIFICATE_SHA1:
        return known.value
    return ":".join(known.value[place : place + 2] for place in range(0, len(known.value), 2))


class Refresher:
    """Watches the agent's file of indicators for one running Suricata.

    Args:
        state: the agent's state directory.
        directory: Suricata's own.
        socket: its command socket.
    """

    def __init__(self, state: Path, directory: Path, socket: Path) -> None:
        self._path = path_of(state)
        self._directory = directory
        self._socket = socket
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indicators", daemon=True)
        self._seen = self._signature()
        self._pending = False
        #: How often Suricata took another set in.
        self.reloads = 0
        self.write()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def write(self) -> None:
        """Write Suricata's files from the set in use. Raises OSError."""
        try:
            found = lines_of(self._path).lines if self._seen is not None else []
        except IndicatorError as error:
            log.warning("%s; Suricata has no indicators until another set comes", error)
            found = []
        write(self._directory, read_lines(found))

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            seen = self._signature()
            if seen == self._seen and not self._pending:
                continue
            try:
                if seen != self._seen:
                    self._seen = seen
                    self._pending = True
                    self.write()
                order(self._socket, RELOAD)
            except (OSError, SourceError) as error:
                # It may be about to start, and then loads the files by itself; until it answers it is asked again.
                log.info("Suricata does not take the indicators in yet: %s", error)
            else:
                self._pending = False
                self.reloads += 1

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
