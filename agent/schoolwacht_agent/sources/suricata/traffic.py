"""Mappings of the records that make up nearly all of EVE: flow, DNS, TLS, HTTP, files, QUIC. See ``eve.py``."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import urlsplit

from schoolwacht.event import KEYWORD_MAX, LIST_MAX, TEXT_MAX, Dataset, Event, clip
from schoolwacht_agent.sources.dnsnames import OPERATIONS, RECORD_TYPES, RESPONSE_CODES
from schoolwacht_agent.sources.suricata.certificate import seen
from schoolwacht_agent.sources.suricata.envelope import (
    address,
    begin,
    count,
    detail,
    host,
    moment_or_none,
    prose,
    protocol,
    word,
    words,
)
from schoolwacht_agent.sources.suricata.record import Dns, DnsRecord, Eve, File, Http, Tls

# Bound, because before Python 3.12 each look at a member of an enum is a call.
_DNS, _FILE, _FLOW, _HTTP, _QUIC = Dataset.DNS, Dataset.FILE, Dataset.FLOW, Dataset.HTTP, Dataset.QUIC
_TLS = Dataset.TLS
#: RFC 1035: bits of the header that ECS names in ``dns.header_flags``.
_FLAGS = ((0x400, "AA"), (0x200, "TC"), (0x100, "RD"), (0x80, "RA"))
_DNS_PORTS = frozenset({53, 5353, 5355})
#: Record types whose names Suricata (7 and 8, ``rust/src/dns/log.rs``) has not as IANA has them.
_MISNAMED = MappingProxyType({"ND": "MD", "NSAPPT": "NSAPPTR", "CDSNKEY": "CDNSKEY"})
#: Ports on which the files' sender is known to be the server, by protocol.
_SERVER_PORTS = MappingProxyType(
    {
        "http": frozenset({80, 8000, 8080, 8888, 3128}),
        "http2": frozenset({80, 443, 8080, 8443}),
        "smb": frozenset({139, 445}),
        "smtp": frozenset({25, 465, 587, 2525}),
        "nfs": frozenset({2049}),
        "ftp-data": frozenset({20}),
    }
)
# Requests whose body, if it is a file, goes to the server.
_UPLOADS = frozenset({"POST", "PUT", "PATCH"})

_TLS_VERSIONS = MappingProxyType(
    {
        "TLS 1.3": ("1.3", "tls"),
        "TLS 1.2": ("1.2", "tls"),
        "TLS 1.1": ("1.1", "tls"),
        "TLSv1": ("1.0", "tls"),
        "TLS 1.0": ("1.0", "tls"),
        "SSLv3": ("3.0", "ssl"),
        "SSLv2": ("2.0", "ssl"),
    }
)


def flow(eve: Eve) -> Event | None:
    """A flow: its time is its end, that is its last packet, not the moment at which Suricata gave it up."""
    record = eve.flow
    if record is None:
        return None
    event = begin(eve, _FLOW, protocol(eve.app_proto))
    up, down = record.bytes_toserver, record.bytes_toclient
    event.source_bytes, event.destination_bytes, event.network_bytes = up, down, up + down
    up, down = record.pkts_toserver, record.pkts_toclient
    event.source_packets, event.destination_packets, event.network_packets = up, down, up + down
    start, end = moment_or_none(record.start), moment_or_none(record.end)
    event.event_start = start
    if end is not None:
        event.event_end = event.timestamp = end
        if start is not None and end >= start:
            event.event_duration = _nanoseconds(start, end)
    event.nsm_flow_state = record.state
    event.nsm_flow_reason = record.reason
    if record.alerted:
        event.nsm_flow_alerted = True
    if eve.tcp is not None:
        event.nsm_flow_source_tcp_flags = eve.tcp.tcp_flags_ts
        event.nsm_flow_destination_tcp_flags = eve.tcp.tcp_flags_tc
    return event


def _nanoseconds(start: datetime, end: datetime) -> int | None:
    """Of whole microseconds. None if they are more than a field holds (292 years)."""
    took = end - start
    # Not ``took // timedelta(...)``: that goes through numbers of any size.
    return count((took.days * 86_400 + took.seconds) * 1_000_000_000 + took.microseconds * 1000)


def dns(eve: Eve) -> Event | None:
    """A query or an answer, of EVE's DNS versions 1, 2 and 3; the source is the one that asked."""
    record = eve.dns
    if record is None:
        return None
    answers = record.type in {"answer", "response"}
    event = begin(eve, _DNS, "dns", turned=answers and _answer_is_turned(eve, record.version))
    event.dns_type = "answer" if answers else "query"
    put_dns(event, record, answers=answers)
    return event


def _answer_is_turned(eve: Eve, version: int) -> bool:
    """Whether the record's source is the server: version 3 says who answered, 1 and 2 say who asked.

    A well-known port at one end only decides over that: a flow that was picked up at its answer is the wrong way round.
    """
    server_first, server_last = eve.src_port in _DNS_PORTS, eve.dest_port in _DNS_PORTS
    return version >= 3 if server_first == server_last else server_first


def put_dns(event: Event, record: Dns, *, answers: bool) -> None:
    """Fill in the ``dns.*`` fields (also those of an alert)."""
    if record.id is not None:
        event.dns_id = str(record.id)
    if record.opcode is not None:
        event.dns_op_code = OPERATIONS.get(record.opcode) or str(record.opcode)
    if record.queries:
        asked = record.queries[0]
        event.dns_question_name, event.dns_question_type = host(asked.rrname), _record_type(asked.rrtype) or None
    else:
        event.dns_question_name, event.dns_question_type = host(record.rrname), _record_type(record.rrtype) or None
    if record.flags is not None:
        event.dns_header_flags = list(_header_flags(record.flags)) or None
    if answers:
        event.dns_response_code = _response_code(record.rcode)
        _put_answers(event, record)


def _put_answers(event: Event, record: Dns) -> None:
    answers = record.answers
    if answers is None:
        answers = _ungrouped(record)
    if not answers:
        return
    names, types, data, resolved = [], [], [], []
    for answer in answers[:LIST_MAX]:
        kind = _record_type(answer.rrtype)
        text = _data(answer, kind)
        names.append(host(answer.rrname) or "")
        types.append(kind)
        data.append(text)
        if text and kind in {"A", "AAAA"}:
            resolved.append(text)
    event.dns_answers_name, event.dns_answers_type, event.dns_answers_data = names, types, data
    event.dns_resolved_ip = list(dict.fromkeys(resolved)) or None


@lru_cache(maxsize=1024)
def _record_type(kind: str | int | None) -> str:
    """A record type as IANA names it: Suricata writes some by their number, and a few by another name."""
    if kind is None:
        return ""
    text = str(kind)
    if text.isdecimal() and len(text) <= 5:
        return RECORD_TYPES.get(int(text)) or text
    return _MISNAMED.get(text) or clip(text)


def _ungrouped(record: Dns) -> list[DnsRecord]:
    """Answers of a record that has them grouped only, or (version 1) one in the record itself."""
    name = record.rrname or (record.queries[0].rrname if record.queries else "")
    if record.grouped is not None:
        return [
            DnsRecord(name, kind, value if isinstance(value, str) else None)
            for kind, values in record.grouped.items()
            for value in values
        ]
    if record.version < 2 and record.rdata is not None:
        return [DnsRecord(name, record.rrtype, record.rdata)]
    return []


def _data(answer: DnsRecord, kind: str) -> str:
    """The data of an answer as a zone file has it; see ``sources/packets/dissect/dns.py`` for the same forms."""
    text = answer.rdata
    if kind in {"A", "AAAA"}:
        return address(text) or ""
    if text is not None:
        return text.lower().rstrip(".")[:TEXT_MAX] if kind in {"CNAME", "NS", "PTR", "MX"} else clip(text, TEXT_MAX)
    if answer.soa is not None:
        return _joined(answer.soa, ("mname", "rname", "serial", "refresh", "retry", "expire", "minimum"))
    if answer.srv is not None:
        return _joined(answer.srv, ("priority", "weight", "port", "name"))
    if answer.sshfp is not None:
        return _joined(answer.sshfp, ("algo", "type", "fingerprint")).replace(":", "")
    return ""


def _joined(parts: dict[str, str | int | None], order: tuple[str, ...]) -> str:
    return clip(" ".join(str(parts.get(name, "")) for name in order).lower(), TEXT_MAX)


@lru_cache(maxsize=1024)
def _header_flags(text: str) -> tuple[str, ...]:
    try:
        value = int(text.strip(), 16)
    except ValueError:
        return ()
    return tuple(name for bit, name in _FLAGS if value & bit)


def _response_code(code: str | int | None) -> str | None:
    if isinstance(code, int):
        return RESPONSE_CODES[code] if 0 <= code < len(RESPONSE_CODES) else str(code)
    return word(code)


def tls(eve: Eve) -> Event | None:
    """A TLS handshake."""
    record = eve.tls
    if record is None:
        return None
    event = begin(eve, _TLS, "tls")
    put_tls(event, record)
    event.nsm_detail = detail({"tls.from_proto": record.from_proto})
    return event


def put_tls(event: Event, record: Tls) -> None:
    """Fill in the ``tls.*`` fields (also those of an alert)."""
    if record.version is not None:
        _put_version(event, record.version)
    event.tls_client_server_name = host(record.sni)
    if record.session_resumed is not None:
        event.tls_resumed = record.session_resumed
    if record.ja4 is not None:
        event.nsm_tls_ja4 = word(record.ja4)
    if record.ja3 is not None:
        event.tls_client_ja3 = word(record.ja3.hash)
    if record.ja3s is not None:
        event.tls_server_ja3s = word(record.ja3s.hash)
        event.tls_cipher = _cipher(record.ja3s.string)
    if record.server_alpns:
        event.tls_next_protocol = word(record.server_alpns[0])
    if record.subject is None and record.issuerdn is None and record.fingerprint is None:
        return
    event.tls_server_subject, event.tls_server_issuer = prose(record.subject), prose(record.issuerdn)
    event.tls_server_not_before = moment_or_none(record.notbefore)
    event.tls_server_not_after = moment_or_none(record.notafter)
    event.tls_server_hash_sha1 = _bare(record.fingerprint)
    event.tls_server_x509_serial_number = word(record.serial.replace(":", "").upper()) if record.serial else None
    encoded = record.certificate or (record.chain[0] if record.chain else None)
    if encoded:
        event.tls_server_hash_sha256, event.tls_server_x509_alternative_names = seen(encoded)
    elif record.subjectaltname:
        event.tls_server_x509_alternative_names = words(name.lower() for name in record.subjectaltname)


def _put_version(event: Event, text: str) -> None:
    known = _TLS_VERSIONS.get(text) or (_TLS_VERSIONS["TLS 1.3"] if text.startswith("TLS 1.3") else None)
    if known is not None:
        event.tls_version, event.tls_version_protocol = known


@lru_cache(maxsize=4096)
def _cipher(ja3s: str | None) -> str | None:
    """The chosen cipher suite: the second value of the text that JA3S hashes."""
    parts = (ja3s or "").split(",")
    return f"0x{int(parts[1]):04x}" if len(parts) > 1 and parts[1].isdecimal() else None


def _bare(text: str | None) -> str | None:
    """Hexadecimal with colons as plain lower-case digits."""
    return word(text.replace(":", "").lower()) if text else None


def http(eve: Eve) -> Event | None:
    """A request with its response."""
    record = eve.http
    if record is None:
        return None
    event = begin(eve, _HTTP, "http")
    put_http(event, record)
    if event.http_response_status_code is not None:
        event.event_outcome = "success" if event.http_response_status_code < 400 else "failure"
    if record.redirect or record.xff or record.http2 is not None:
        event.nsm_detail = detail(
            {
                "http.redirect": record.redirect,
                "http.xff": record.xff,
                "http.stream_id": record.http2.stream_id if record.http2 is not None else None,
            }
        )
    return event


def put_http(event: Event, record: Http) -> None:
    """Fill in ``http.*``, ``url.*`` and ``user_agent.*`` (also those of a file or an alert)."""
    event.http_version = _http_version(record)
    event.http_request_method = word(record.http_method)
    if record.http_refer:
        event.http_request_referrer = prose(record.http_refer)
    event.http_response_status_code = _status(record.status)
    if record.http_content_type:
        event.http_response_mime_type = _mime(record.http_content_type)
    event.http_response_body_bytes = record.length
    if record.http_user_agent:
        event.user_agent_original = prose(record.http_user_agent)
    name = record.hostname
    if name is None and record.request_headers:
        name = next((one.value for one in record.request_headers if one.name.lower() in {":authority", "host"}), None)
    put_url(event, record.url, name, record.http_port)


def put_url(event: Event, target: str | None, name: str | None, at: int | None) -> None:
    """Fill in ``url.*`` from the request's target, the host it was sent to and the port that the host named."""
    if at is not None:
        event.url_port = at
    domain = host(name)
    if target is None:
        event.url_domain = domain
        return
    event.url_original = target = clip(target, TEXT_MAX)
    path = target
    if "://" in target[:12]:
        try:
            parts = urlsplit(target)
        except ValueError:
            parts = None
        if parts is not None:
            domain = domain or host(parts.hostname)
            event.url_scheme = word(parts.scheme)
            path = target[target.index("://") + 3 :]
            path = path[path.index("/") :] if "/" in path else "/"
    event.url_domain = domain
    event.url_path, _, query = path.partition("?")
    if query:
        event.url_query = query
    if domain is not None and path.startswith("/"):
        where = domain if at is None else f"{domain}:{at}"
        event.url_full = clip(f"{event.url_scheme or 'http'}://{where}{path}", TEXT_MAX)


def _http_version(record: Http) -> str | None:
    if record.protocol is not None:
        return word(record.protocol.removeprefix("HTTP/"))
    return word(record.version)


def _status(status: str | int | None) -> int | None:
    if isinstance(status, str):
        return int(status) if status.isdecimal() and len(status) == 3 else None
    return count(status)


def _mime(text: str | None) -> str | None:
    return word(text.partition(";")[0].strip().lower()) if text else None


def file(eve: Eve) -> Event | None:
    """A file that went over the wire; the source is the client, whichever of both sent it.

    A hash is stated only of a whole file: Suricata also gives the hash of what it followed of a longer one.
    """
    record = eve.fileinfo
    if record is None:
        return None
    event = begin(eve, _FILE, protocol(eve.app_proto), turned=_sender_is_server(eve))
    put_file(event, record)
    if eve.http is not None:
        put_http(event, eve.http)
    smb, smtp = eve.smb, eve.smtp
    if smb is not None:
        event.nsm_smb_command, event.nsm_smb_dialect = word(smb.command), word(smb.dialect)
        event.nsm_smb_share, event.nsm_smb_filename = prose(smb.share), prose(smb.filename)
    if smtp is not None:
        event.email_from_address, event.email_to_address = words([smtp.mail_from or ""]), words(smtp.rcpt_to)
    event.nsm_detail = detail(
        {"file.state": record.state, "file.gaps": record.gaps or None, "file.magic": record.magic}
    )
    return event


def put_file(event: Event, record: File) -> None:
    """Fill in ``file.*`` (also those of an alert)."""
    if record.filename:
        event.file_path = prose(record.filename)
        event.file_name = word(record.filename.replace("\\", "/").rstrip("/").rpartition("/")[2].partition("?")[0])
    event.file_size = record.size
    if record.mimetype:
        event.file_mime_type = _mime(record.mimetype)
    if record.state == "CLOSED" and not record.gaps:
        event.file_hash_md5, event.file_hash_sha1 = word(record.md5), word(record.sha1)
        event.file_hash_sha256 = word(record.sha256)


def _sender_is_server(eve: Eve) -> bool:
    """``fileinfo`` has the sender as source and does not say who the client is."""
    if eve.direction is not None:
        return eve.direction == "to_client"
    known = _SERVER_PORTS.get(eve.app_proto or "", frozenset())
    if eve.http is not None and eve.http.http_port is not None:
        known |= {eve.http.http_port}
    first, last = eve.src_port in known, eve.dest_port in known
    if first != last:
        return first
    if eve.http is not None and eve.http.http_method is not None:
        return eve.http.http_method not in _UPLOADS
    # Neither end is known: the lower port is the server's.
    return (eve.src_port or 0) < (eve.dest_port or 0)


def quic(eve: Eve) -> Event | None:
    """A QUIC Initial: of the client with its TLS hello, or of the server."""
    record = eve.quic
    if record is None:
        return None
    of_client = record.sni is not None or record.ja3 is not None or record.ja4 is not None or record.ua is not None
    of_server = record.ja3s is not None or (not of_client and eve.src_port == 443 and eve.dest_port != 443)
    event = begin(eve, _QUIC, "quic", turned=of_server)
    event.tls_client_server_name = host(record.sni)
    event.user_agent_original = prose(record.ua)
    event.nsm_tls_ja4 = word(record.ja4)
    if record.ja3 is not None:
        event.tls_client_ja3 = word(record.ja3.hash)
    if record.ja3s is not None:
        event.tls_server_ja3s, event.tls_cipher = word(record.ja3s.hash), _cipher(record.ja3s.string)
    alpn = next((one.values for one in record.extensions or () if one.name == "alpn"), None)
    event.nsm_detail = detail(
        {
            "quic.version": record.version,
            "quic.alpn": [str(value)[:KEYWORD_MAX] for value in alpn] if alpn else None,
            "quic.cyu": record.cyu[0].hash if record.cyu else None,
        }
    )
    return event
