"""One line that says what a row is about, for tables of mixed datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from schoolwacht_collector.index.port import Row


def headline(row: Row) -> str:
    """What happened, from the fields of the row's dataset; never empty. Not yet inert: it is text of the network."""
    dataset = str(row.get("event.dataset", ""))
    write = HEADLINES.get(dataset)
    return (write(row) if write else "") or _network(row) or dataset or "event"


def ends(row: Row) -> tuple[str, str]:
    """Source and destination as ``address:port`` (an IPv6 address in brackets); empty where absent."""
    return _end(row, "source"), _end(row, "destination")


def size(number: float) -> str:
    """Bytes for people: ``1.2 MB`` (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _end(row: Row, side: str) -> str:
    address = row.get(f"{side}.ip")
    if address is None:
        return ""
    port = row.get(f"{side}.port")
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _words(row: Row, *fields: str) -> str:
    return " ".join(_text(row[field]) for field in fields if row.get(field) not in (None, "", []))


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _network(row: Row) -> str:
    return _words(row, "network.transport", "network.protocol", "message")


def _flow(row: Row) -> str:
    protocol = _text(row.get("network.protocol") or row.get("network.transport") or "flow")
    total = sum(int(row.get(f"{side}.bytes") or 0) for side in ("source", "destination"))
    packets = sum(int(row.get(f"{side}.packets") or 0) for side in ("source", "destination"))
    state = row.get("nsm.flow.state")
    return f"{protocol}, {packets} packets, {size(total)}" + (f", {state}" if state else "")


def _summary(row: Row) -> str:
    about = _words(row, "dns.question.name", "tls.client.server_name", "url.domain")
    service = _words(row, "network.protocol") or _words(row, "network.transport", "destination.port")
    total = sum(int(row.get(f"{side}.bytes") or 0) for side in ("source", "destination"))
    failures = int(row.get("summary.failures") or 0)
    counts = [f"{int(row.get('summary.events') or 0)} in a minute"]
    counts += [size(total)] if total else []
    counts += [f"{failures} failed"] if failures else []
    return f"{' '.join(filter(None, (service, about))) or 'traffic'}: {', '.join(counts)}"


def _sighting(row: Row) -> str:
    seen = _words(row, "sighting.kind", "sighting.value")
    return f"{seen}, {int(row.get('sighting.count') or 0)} times" if seen else ""


def _dns(row: Row) -> str:
    question = _words(row, "dns.question.name", "dns.question.type")
    answers = [answer for answer in row.get("dns.answers.data") or [] if answer]
    code = row.get("dns.response_code")
    outcome = _text(answers[:3]) if answers else (str(code) if code and code != "NOERROR" else "")
    return f"{question} → {outcome}" if outcome else question


def _http(row: Row) -> str:
    where = row.get("url.full") or f"{row.get('url.domain', '')}{row.get('url.original') or row.get('url.path') or ''}"
    status = row.get("http.response.status_code")
    return f"{row.get('http.request.method', '')} {where}".strip() + (f" → {status}" if status else "")


def _tls(row: Row) -> str:
    return _words(row, "tls.client.server_name", "tls.server.subject") or _words(row, "nsm.tls.ja4", "tls.client.ja3")


def _file(row: Row) -> str:
    length = row.get("file.size")
    name = _words(row, "file.name", "file.mime_type") or "file without a name"
    return name + (f", {size(float(length))}" if length is not None else "")


def _signal(row: Row) -> str:
    """What the rule found, in its own words where it has some."""
    return str(row.get("message") or row.get("rule.name") or "")


def _evidence(row: Row) -> str:
    if fault := row.get("evidence.fault"):
        return f"no evidence: {fault}"
    packets = int(row.get("evidence.packets") or 0)
    return f"evidence of {packets} packets, {size(float(row.get('evidence.bytes') or 0))}" if packets else ""


def _health(row: Row) -> str:
    if not row.get("health.condition"):  # the regular report; its message is the engine
        fields = (("health.packets", "packets"), ("health.dropped", "dropped"), ("health.evicted", "evicted"))
        figures = [f"{int(row[name]):,} {what}" for name, what in fields if row.get(name) is not None]
        engine = f"report of {row['message']}" if row.get("message") else "report"
        return f"{engine}: {', '.join(figures)}" if figures else engine
    value = row.get("health.value")
    figure = f" {float(value):.4g}" if value else ""
    return f"{row.get('health.condition', '')}{figure}: {row.get('message', '')}".strip(": ")


def _of(*fields: str) -> Callable[[Row], str]:
    return lambda row: _words(row, *fields)


HEADLINES: Mapping[str, Callable[[Row], str]] = MappingProxyType(
    {
        "flow": _flow,
        "dns": _dns,
        "http": _http,
        "tls": _tls,
        "quic": _tls,
        "file": _file,
        "signal": _signal,
        "summary": _summary,
        "sighting": _sighting,
        "evidence": _evidence,
        "ssh": _of("nsm.ssh.client.software", "nsm.ssh.server.software"),
        "smb": _of("nsm.smb.command", "nsm.smb.share", "nsm.smb.filename", "nsm.smb.named_pipe", "nsm.smb.status"),
        "krb5": _of("nsm.krb5.msg_type", "nsm.krb5.cname", "nsm.krb5.sname", "nsm.krb5.error_code"),
        "rdp": _of("nsm.rdp.event", "nsm.rdp.cookie"),
        "dcerpc": _of("nsm.dcerpc.endpoint", "nsm.dcerpc.interface", "nsm.dcerpc.opnum"),
        "smtp": _of("nsm.smtp.helo", "email.from.address", "email.to.address", "email.subject"),
        "ftp": _of("nsm.ftp.command", "nsm.ftp.argument", "nsm.ftp.reply_code"),
        "snmp": _of("nsm.snmp.version", "nsm.snmp.pdu_type", "nsm.snmp.community"),
        "sip": _of("nsm.sip.method", "nsm.sip.code", "nsm.sip.uri"),
        "rfb": _of("nsm.rfb.authentication"),
        "mqtt": _of("nsm.mqtt.type"),
        "dhcp": _of("nsm.dhcp.type", "nsm.dhcp.client_hostname", "nsm.dhcp.assigned_ip"),
        "arp": _of("nsm.arp.operation", "nsm.arp.sender_ip", "nsm.arp.target_ip"),
        "anomaly": _of("nsm.anomaly.type", "nsm.anomaly.event"),
        "health": _health,
    }
)
