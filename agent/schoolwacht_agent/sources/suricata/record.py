"""The shapes of Suricata's EVE records: what of them the project reads, as one wide typed struct.

Suricata 6, 7 and 8 write the same field in different types (``http.status`` as text or number, ``dns.rcode`` as name
or number); such fields are declared with both. Whatever is not declared is skipped without being built, which is what
makes the typed decoder fast (``decode.py``, which also reads what does not fit).

Source: Suricata's ``etc/schema.json`` and "EVE JSON Format" of the user guide, checked against 7.0.10.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

#: What one version writes as text and another as number.
Loose = str | int | None
Texts = list[str] | None
#: Bounded here, so that no mapping has to look again: what is out of bounds is dropped and counted (``decode.py``).
Port = Annotated[int, Meta(ge=0, le=65_535)] | None
Count = Annotated[int, Meta(ge=0, lt=1 << 62)]  # so that two of them still add up to a count
Short = Annotated[str, Meta(max_length=256)] | None


class Ether(Struct, gc=False):
    """Link-layer addresses: of a packet, or all those of a flow."""

    src_mac: Short = None
    dest_mac: Short = None
    src_macs: list[Annotated[str, Meta(max_length=256)]] | None = None
    dest_macs: list[Annotated[str, Meta(max_length=256)]] | None = None


class Flow(Struct, gc=False):
    """``flow``: whole in flow records; in alerts the state so far with the flow's own ends."""

    pkts_toserver: Count = 0
    pkts_toclient: Count = 0
    bytes_toserver: Count = 0
    bytes_toclient: Count = 0
    start: str | None = None
    end: str | None = None
    state: Short = None
    reason: Short = None
    alerted: bool | None = None
    src_ip: str | None = None
    dest_ip: str | None = None
    src_port: Port = None
    dest_port: Port = None


class Tcp(Struct, gc=False):
    """``tcp`` of a flow: flags as two hexadecimal digits."""

    tcp_flags_ts: Short = None
    tcp_flags_tc: Short = None


class DnsRecord(Struct, gc=False):
    """A question or a resource record."""

    rrname: str = ""
    rrtype: Loose = None
    rdata: str | None = None
    soa: dict[str, Loose] | None = None
    srv: dict[str, Loose] | None = None
    sshfp: dict[str, Loose] | None = None
    # As it stands in ``query`` of an alert
    type: str | None = None
    id: int | None = None


class Dns(Struct, gc=False):
    """``dns`` of versions 1, 2 and 3, and as context of an alert."""

    version: int = 1
    type: str | None = None
    id: int | None = None
    flags: str | None = None
    opcode: int | None = None
    rcode: Loose = None
    rrname: str | None = None
    rrtype: Loose = None
    rdata: str | None = None
    queries: list[DnsRecord] | None = None
    answers: list[DnsRecord] | None = None
    grouped: dict[str, list[Any]] | None = None
    # Alerts of Suricata 6 and 7
    query: list[DnsRecord] | None = None
    answer: Dns | None = None


class Fingerprint(Struct, gc=False):
    """JA3, JA3S or HASSH."""

    hash: str | None = None
    string: str | None = None


class Tls(Struct, gc=False):
    """``tls``."""

    version: str | None = None
    sni: str | None = None
    subject: str | None = None
    issuerdn: str | None = None
    serial: str | None = None
    fingerprint: str | None = None
    notbefore: str | None = None
    notafter: str | None = None
    session_resumed: bool | None = None
    ja3: Fingerprint | None = None
    ja3s: Fingerprint | None = None
    ja4: str | None = None
    from_proto: str | None = None
    certificate: str | None = None
    chain: Texts = None
    subjectaltname: Texts = None
    server_alpns: Texts = None


class Header(Struct, gc=False):
    """One header of HTTP/2."""

    name: str = ""
    value: str = ""


class Http2(Struct, gc=False):
    """``http.http2``."""

    stream_id: int | None = None


class Http(Struct, gc=False):
    """``http``, of all three major versions."""

    hostname: str | None = None
    url: str | None = None
    http_port: Port = None
    http_method: str | None = None
    http_user_agent: str | None = None
    http_content_type: str | None = None
    http_refer: str | None = None
    protocol: str | None = None
    version: Loose = None
    status: Loose = None
    length: Count | None = None
    redirect: str | None = None
    xff: str | None = None
    http2: Http2 | None = None
    request_headers: list[Header] | None = None
    response_headers: list[Header] | None = None


class File(Struct, gc=False):
    """``fileinfo``, or one of ``files`` of an alert."""

    filename: str | None = None
    size: Count | None = None
    state: Short = None
    gaps: bool = False
    magic: str | None = None
    mimetype: str | None = None
    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None


class SshEnd(Struct, gc=False):
    """One end of an SSH connection."""

    proto_version: str | None = None
    software_version: str | None = None
    hassh: Fingerprint | None = None


class Ssh(Struct, gc=False):
    """``ssh``."""

    client: SshEnd | None = None
    server: SshEnd | None = None


class Interface(Struct, gc=False):
    """An interface of DCE/RPC."""

    uuid: str = ""
    version: str | None = None
    ack_result: int | None = None


class RpcSide(Struct, gc=False):
    """Request or response of DCE/RPC over TCP."""

    opnum: Count | None = None
    stub_data_size: int | None = None


class Dcerpc(Struct, gc=False):
    """``dcerpc``, on its own or inside ``smb``."""

    request: str | None = None
    response: str | None = None
    opnum: Count | None = None
    req: RpcSide | None = None
    res: RpcSide | None = None
    call_id: int | None = None
    rpc_version: str | None = None
    interfaces: list[Interface] | None = None


class Ntlmssp(Struct, gc=False):
    """``smb.ntlmssp``."""

    domain: str | None = None
    user: str | None = None
    host: str | None = None
    version: str | None = None


class SmbKerberos(Struct, gc=False):
    """``smb.kerberos``."""

    realm: str | None = None
    snames: Texts = None


class Smb(Struct, gc=False):
    """``smb``."""

    command: Short = None
    dialect: Short = None
    status: Short = None
    status_code: str | None = None
    session_id: int | None = None
    tree_id: int | None = None
    filename: str | None = None
    share: str | None = None
    share_type: str | None = None
    named_pipe: str | None = None
    disposition: str | None = None
    access: str | None = None
    size: Count | None = None
    directory: str | None = None
    function: str | None = None
    subcmd: str | None = None
    level_of_interest: str | None = None
    rename: dict[str, Loose] | None = None
    client_dialects: Texts = None
    ntlmssp: Ntlmssp | None = None
    kerberos: SmbKerberos | None = None
    dcerpc: Dcerpc | None = None


class Krb5(Struct, gc=False):
    """``krb5``."""

    msg_type: str | None = None
    failed_request: str | None = None
    error_code: Loose = None
    cname: str | None = None
    realm: str | None = None
    sname: str | None = None
    encryption: str | None = None
    weak_encryption: bool | None = None
    ticket_encryption: str | None = None
    ticket_weak_encryption: bool | None = None


class Rdp(Struct, gc=False):
    """``rdp``."""

    event_type: str | None = None
    cookie: str | None = None
    protocol: str | None = None
    reason: Short = None
    error_code: Loose = None
    client: dict[str, Any] | None = None
    channels: Texts = None
    x509_serials: Texts = None


class Smtp(Struct, gc=False):
    """``smtp``."""

    helo: str | None = None
    mail_from: str | None = None
    rcpt_to: Texts = None


class Email(Struct, gc=False):
    """``email``: the headers of a message."""

    status: str | None = None
    from_: str | None = field(default=None, name="from")
    to: Texts = None
    cc: Texts = None
    subject: str | None = None
    message_id: str | None = None
    attachment: Texts = None


class Ftp(Struct, gc=False):
    """``ftp``."""

    command: str | None = None
    command_data: str | None = None
    reply: Texts = None
    completion_code: Texts = None
    dynamic_port: int | None = None
    mode: str | None = None


class FtpData(Struct, gc=False):
    """``ftp_data``."""

    command: str | None = None
    filename: str | None = None


class Snmp(Struct, gc=False):
    """``snmp``."""

    version: Loose = None
    pdu_type: str | None = None
    community: str | None = None
    usm: str | None = None
    error: str | None = None
    trap_type: str | None = None
    trap_oid: str | None = None
    trap_address: str | None = None
    vars: Texts = None


class Sip(Struct, gc=False):
    """``sip``."""

    method: str | None = None
    uri: str | None = None
    version: str | None = None
    code: Loose = None
    reason: Short = None
    request_line: str | None = None
    response_line: str | None = None


class RfbVersion(Struct, gc=False):
    """A protocol version of RFB."""

    major: str | None = None
    minor: str | None = None


class RfbAuthentication(Struct, gc=False):
    """``rfb.authentication``; the user guide writes the result's key with a hyphen, the program with a low line."""

    security_type: int | None = None
    security_result: str | None = None
    hyphenated_result: str | None = field(default=None, name="security-result")


class Rfb(Struct, gc=False):
    """``rfb``."""

    server_protocol_version: RfbVersion | None = None
    client_protocol_version: RfbVersion | None = None
    authentication: RfbAuthentication | None = None
    server_security_failure_reason: str | None = None
    screen_shared: bool | None = None
    framebuffer: dict[str, Any] | None = None


class QuicExtension(Struct, gc=False):
    """One TLS extension in a QUIC Initial."""

    name: str | None = None
    values: list[Any] | None = None


class Quic(Struct, gc=False):
    """``quic``."""

    version: str | None = None
    sni: str | None = None
    ua: str | None = None
    ja3: Fingerprint | None = None
    ja3s: Fingerprint | None = None
    ja4: str | None = None
    cyu: list[Fingerprint] | None = None
    extensions: list[QuicExtension] | None = None


class Dhcp(Struct, gc=False):
    """``dhcp`` of the extended logger."""

    type: str | None = None
    dhcp_type: str | None = None
    id: int | None = None
    client_mac: str | None = None
    client_id: str | None = None
    client_ip: str | None = None
    assigned_ip: str | None = None
    requested_ip: str | None = None
    relay_ip: str | None = None
    next_server_ip: str | None = None
    hostname: str | None = None
    vendor_class_identifier: str | None = None
    lease_time: int | None = None
    subnet_mask: str | None = None
    routers: Texts = None
    dns_servers: Texts = None


class Arp(Struct, gc=False):
    """``arp`` of Suricata 8."""

    opcode: str | None = None
    src_mac: Short = None
    src_ip: str | None = None
    dest_mac: Short = None
    dest_ip: str | None = None


class Anomaly(Struct, gc=False):
    """``anomaly``."""

    type: str | None = None
    event: str | None = None
    layer: str | None = None
    app_proto: Short = None
    code: Loose = None


class Alert(Struct, gc=False):
    """``alert``. ``metadata`` is a map of lists; a value that is none is taken as a list of one."""

    signature_id: int
    gid: int = 1
    rev: int = 0
    action: str | None = None
    signature: str = ""
    category: str | None = None
    severity: Count | None = None
    metadata: dict[str, list[str] | str] | None = None
    references: Texts = None


class Stats(Struct, gc=False):
    """``stats``: totals since the engine's start, as a tree whose leaves are numbers."""

    uptime: int = 0
    capture: dict[str, Any] | None = None
    decoder: dict[str, Any] | None = None
    flow: dict[str, Any] | None = None
    tcp: dict[str, Any] | None = None
    http: dict[str, Any] | None = None
    ftp: dict[str, Any] | None = None
    detect: dict[str, Any] | None = None


class Eve(Struct, gc=False):
    """One EVE record of any type."""

    timestamp: str
    event_type: str
    src_ip: str | None = None
    src_port: Port = None
    dest_ip: str | None = None
    dest_port: Port = None
    proto: Short = None
    app_proto: Short = None
    community_id: Short = None
    direction: str | None = None
    in_iface: str | None = None
    icmp_type: Count | None = None
    icmp_code: Count | None = None
    vlan: list[int] | None = None
    ether: Ether | None = None
    flow: Flow | None = None
    tcp: Tcp | None = None
    dns: Dns | None = None
    tls: Tls | None = None
    http: Http | None = None
    fileinfo: File | None = None
    files: list[File] | None = None
    ssh: Ssh | None = None
    smb: Smb | None = None
    krb5: Krb5 | None = None
    rdp: Rdp | None = None
    dcerpc: Dcerpc | None = None
    smtp: Smtp | None = None
    email: Email | None = None
    ftp: Ftp | None = None
    ftp_data: FtpData | None = None
    snmp: Snmp | None = None
    sip: Sip | None = None
    rfb: Rfb | None = None
    mqtt: dict[str, Any] | None = None
    quic: Quic | None = None
    dhcp: Dhcp | None = None
    arp: Arp | None = None
    anomaly: Anomaly | None = None
    alert: Alert | None = None
    stats: Stats | None = None
