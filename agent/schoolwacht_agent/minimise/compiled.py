"""The table of treatments as two functions of one event, for one school and period: written as source, compiled once.

Only fields that do not simply stay are looked at, by name: that costs 10 ns a field that is absent, where a loop over
names costs 60. What is held in a cache is one look-up in a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Any, TypeAlias

from schoolwacht.event import KEYWORD_MAX, LIST_MAX, TEXT_MAX, Direction, Event, clip
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.pseudonyms import Cache, Pseudonyms
from schoolwacht_agent.minimise.texts import Texts
from schoolwacht_agent.minimise.treatment import DETAIL, FIELDS, Treatment

Treat: TypeAlias = Callable[[Event], None]

#: What each treatment does with a value ``v`` that is there, as an expression; the others see the whole event.
_EXPRESSIONS: MappingProxyType[Treatment, str] = MappingProxyType(
    {
        Treatment.DROP: "None",
        Treatment.ADDRESS: "addresses_get(v) or address(v)",
        Treatment.ADDRESSES: "[addresses_get(one) or address(one) for one in v]",
        Treatment.MAC: "macs_get(v) or mac(v)",
        Treatment.HOST: "hosts_get(v) or host(v)",
        Treatment.HOSTS: "[hosts_get(one) or host(one) for one in v]",
        Treatment.CONNECTION: "connections_get(v) or connection(v)",
        Treatment.ACCOUNTS: "[account(one) for one in v]",
        Treatment.COMMON_NAME: "subjects_get(v) or common_name(v)",
        Treatment.SHARE: "shares_get(v) or share(v)",
        Treatment.FILE: "files_get(v) or file(v)",
        Treatment.PIPE: "pipes_get(v) or pipe(v)",
    }
)
_WHOLE = frozenset({Treatment.ANSWERS, Treatment.ARGUMENT, Treatment.ISSUER, Treatment.URL, Treatment.DETAIL})
#: Two passes: a message is searched for what the other fields have given pseudonyms to, a URL needs the host.
_LATE = frozenset({Treatment.MESSAGE, Treatment.BOUNDED, Treatment.URL, Treatment.DETAIL})
_KEPT = frozenset(key for key, rule in DETAIL.items() if rule.event is Treatment.KEEP)
_COMMUNITIES = frozenset({"public", "private"})
#: FTP commands whose argument names a file or folder (RFC 959).
_FILES = frozenset({"RETR", "STOR", "STOU", "APPE", "DELE", "RNFR", "RNTO", "CWD", "MKD", "RMD", "SIZE", "MDTM"})
#: Types of DNS answers whose data is a name, and those that are figures and digests.
_NAMES = frozenset({"CNAME", "NS", "PTR", "DNAME"})
_PLAIN = frozenset({"SSHFP", "DS", "DNSKEY", "RRSIG", "CAA", "HTTPS", "SVCB"})


class Compiled:
    """The treatment of events of one school and period.

    Args:
        pseudonyms: of that school and period.
        hosts: the same.
        unlisted: called for each key of ``nsm.detail`` that the table does not have.
    """

    def __init__(
        self, pseudonyms: Pseudonyms, hosts: Hosts, *, unlisted: Callable[[str], None] = lambda _: None
    ) -> None:
        self._pseudonyms = pseudonyms
        self._hosts = hosts
        self._texts = texts = Texts(pseudonyms, hosts)
        self._unlisted = unlisted
        self._network = IPv6Network(pseudonyms.network)
        subjects = Cache(lambda text: clip(texts.common_name(text), TEXT_MAX))
        shares, files, pipes = Cache(texts.share), Cache(texts.file), Cache(texts.pipe)
        self._one: dict[Treatment, Callable[[str], str | None]] = {
            Treatment.KEEP: str,
            Treatment.DROP: lambda _: None,
            Treatment.ADDRESS: pseudonyms.address,
            Treatment.MAC: pseudonyms.mac,
            Treatment.HOST: hosts.of,
            Treatment.NAME: pseudonyms.name,
            Treatment.ACCOUNT: lambda text: clip(pseudonyms.account(text), KEYWORD_MAX),
            Treatment.SERVICE: lambda text: clip(texts.service(text), KEYWORD_MAX),
            Treatment.MESSAGE: lambda text: clip(texts.message(text), TEXT_MAX),
            Treatment.BOUNDED: texts.bounded,
            Treatment.LEAD: lambda text: text.partition(",")[0],
            Treatment.COMMON_NAME: subjects.of,
            Treatment.SHARE: shares.of,
            Treatment.PIPE: pipes.of,
            Treatment.FILE: files.of,
            Treatment.URI: lambda text: clip(texts.uri(text), TEXT_MAX),
            Treatment.COMMUNITY: lambda text: text if text in _COMMUNITIES else pseudonyms.name(text),
        }
        self._caches = {
            "addresses": pseudonyms.addresses,
            "macs": pseudonyms.macs,
            "hosts": hosts.names,
            "connections": pseudonyms.connections,
            "shares": shares,
            "files": files,
            "pipes": pipes,
            "subjects": subjects,
        }
        self.event: Treat = self._function(signal=False)
        self.signal: Treat = self._function(signal=True)

    def _function(self, *, signal: bool) -> Treat:
        names: dict[str, Any] = {f"{name}_get": cache.young.get for name, cache in self._caches.items()}
        names |= {
            "account": self._one[Treatment.ACCOUNT],
            "address": self._pseudonyms.addresses.of,
            "mac": self._pseudonyms.macs.of,
            "host": self._hosts.names.of,
            "connection": self._pseudonyms.connections.of,
            "answers": self._answers,
            "argument": self._argument,
            "issuer": self._issuer,
            "url": self._url,
            "detail": self._detail_of_signal if signal else self._detail,
            "period": self._pseudonyms.period,
        }
        for treatment, function in self._one.items():
            names.setdefault(_called(treatment), function)
        exec(source(signal=signal), names)  # noqa: S102 - the text is made of the table above and of nothing else
        made: Treat = names["treat"]
        return made

    def _answers(self, event: Event) -> None:
        data, types = event.dns_answers_data or [], event.dns_answers_type or []
        known, names = self._pseudonyms.addresses.young.get, self._hosts.of
        shown = []
        for text, kind in zip(data, types, strict=False):
            if not text:
                shown.append("")
            elif kind in ("A", "AAAA"):
                shown.append(known(text) or self._pseudonyms.address(text))
            elif kind in _NAMES:
                shown.append(names(text))
            elif kind in ("MX", "SRV", "SOA"):
                shown.append(clip(" ".join(names(word) if "." in word else word for word in text.split(" ")), TEXT_MAX))
            else:
                shown.append(text if kind in _PLAIN else "")
        event.dns_answers_data = shown or None

    def _argument(self, event: Event) -> None:
        command, text = (event.nsm_ftp_command or "").upper(), event.nsm_ftp_argument or ""
        if command == "USER":
            event.nsm_ftp_argument = self._pseudonyms.account(text)
        else:
            event.nsm_ftp_argument = self._texts.file(text) if command in _FILES else None

    def _issuer(self, event: Event) -> None:
        # The subject is treated already (FIELDS has it first).
        shown = self._one[Treatment.COMMON_NAME](event.tls_server_issuer or "")
        if shown == event.tls_server_subject:
            event.tls_server_issuer = shown

    def _url(self, event: Event) -> None:
        domain = event.url_domain
        path = None
        if event.network_direction is Direction.INBOUND and self._stays(event.destination_ip):
            path = None if event.url_path is None else self._texts.message(event.url_path)
        event.url_path = event.url_original = path
        if event.url_full is not None:
            if domain is None:
                event.url_full = None
            else:
                where = f"[{domain}]" if ":" in domain and not domain.startswith("[") else domain
                port = "" if event.url_port is None else f":{event.url_port}"
                event.url_full = clip(f"{event.url_scheme or 'http'}://{where}{port}{path or '/'}", TEXT_MAX)

    def _stays(self, address: str | None) -> bool:
        """Whether an address, as shown, is the one of the packet."""
        return address is not None and not (":" in address and IPv6Address(address) in self._network)

    def _detail(self, event: Event) -> None:
        if event.nsm_detail is not None and event.nsm_detail.keys() <= _KEPT:
            return
        event.nsm_detail = self._keys(event.nsm_detail or {}, signal=False) or None

    def _detail_of_signal(self, event: Event) -> None:
        event.nsm_detail = self._keys(event.nsm_detail or {}, signal=True) or None

    def _keys(self, detail: dict[str, str], *, signal: bool) -> dict[str, str]:
        shown: dict[str, str] = {}
        late: list[tuple[str, Treatment]] = []
        for key, value in detail.items():
            rule = DETAIL.get(key)
            if rule is None:
                self._unlisted(key)
                if signal:
                    late.append((key, Treatment.MESSAGE))
                continue
            treatment = rule.signal if signal else rule.event
            if treatment in _LATE:
                late.append((key, treatment))
            elif (text := self._one[treatment](value)) is not None:
                shown[key] = text
        for key, treatment in late:
            if (text := self._one[treatment](detail[key])) is not None:
                shown[key] = text
        return dict(list(shown.items())[:LIST_MAX])


def source(*, signal: bool) -> str:
    """The source of the function ``treat(event)``."""
    lines = ["def treat(event):"]
    rules = list(FIELDS.items())
    for late in (False, True):
        for name, rule in rules:
            treatment = rule.signal if signal else rule.event
            if treatment is not Treatment.KEEP and (treatment in _LATE) is late:
                lines += _lines(name, treatment)
    lines.append("    event.pseudonym_epoch = period")
    return "\n".join(lines) + "\n"


def _lines(name: str, treatment: Treatment) -> Iterator[str]:
    if treatment is Treatment.URL:
        if name == "url_original":
            yield "    if event.url_original is not None or event.url_full is not None or event.url_path is not None:"
            yield "        url(event)"
        return
    yield f"    if (v := event.{name}) is not None:"
    if treatment in _WHOLE:
        yield f"        {_called(treatment)}(event)"
    else:
        yield f"        event.{name} = {_EXPRESSIONS.get(treatment) or f'{_called(treatment)}(v)'}"


def _called(treatment: Treatment) -> str:
    return treatment.value.replace("-", "_")
