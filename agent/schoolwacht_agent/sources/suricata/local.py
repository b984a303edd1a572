"""Mappings of the protocols of the local network and of administration: SMB, Kerberos, RPC, mail and the rest.

See ``eve.py`` for the conventions. Passwords and challenges are never taken over (FTP PASS, MQTT, RFB).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from schoolwacht.event import TEXT_MAX, Dataset, Event, clip
from schoolwacht_agent.sources.suricata.envelope import (
    address,
    begin,
    detail,
    host,
    mac,
    prose,
    word,
    words,
)
from schoolwacht_agent.sources.suricata.record import Dcerpc, Email, Eve, Smb, Smtp

# Bound, because before Python 3.12 each look at a member of an enum is a call.
_ARP, _DCERPC, _DHCP, _FTP, _KRB5 = Dataset.ARP, Dataset.DCERPC, Dataset.DHCP, Dataset.FTP, Dataset.KRB5
_MQTT, _RDP, _RFB, _SIP, _SMB = Dataset.MQTT, Dataset.RDP, Dataset.RFB, Dataset.SIP, Dataset.SMB
_SMTP, _SNMP, _SSH = Dataset.SMTP, Dataset.SNMP, Dataset.SSH
_RDP_PORT = 3389
_MQTT_PORTS = frozenset({1883, 8883})
#: Commands that make up nearly all of SMB and say no more than every command does.
_SMB_PLAIN = frozenset(
    {
        "SMB2_COMMAND_CREATE", "SMB2_COMMAND_CLOSE", "SMB2_COMMAND_READ", "SMB2_COMMAND_WRITE",
        "SMB2_COMMAND_QUERY_INFO", "SMB2_COMMAND_FIND", "SMB2_COMMAND_TREE_CONNECT", "SMB2_COMMAND_TREE_DISCONNECT",
        "SMB1_COMMAND_WRITE_ANDX", "SMB1_COMMAND_READ_ANDX", "SMB1_COMMAND_NT_CREATE_ANDX", "SMB1_COMMAND_CLOSE",
    }
)  # fmt: skip
#: Kerberos messages that the key distribution centre or a service sends (RFC 4120 5.4–5.9).
_KRB5_REPLIES = frozenset({"KRB_AS_REP", "KRB_TGS_REP", "KRB_AP_REP", "KRB_ERROR"})
_SNMP_REPLIES = frozenset({"response", "report"})

#: Interfaces of Windows services that administration and attacks use ([MS-SCMR], [MS-DRSR], [MS-NRPC] and others).
ENDPOINTS = MappingProxyType(
    {
        "367abb81-9844-35f1-ad32-98f038001003": "svcctl",
        "1ff70682-0a51-30e8-076d-740be8cee98b": "atsvc",
        "86d35949-83c9-4044-b424-db363231fd0c": "taskschedulerservice",
        "4b324fc8-1670-01d3-1278-5a47bf6ee188": "srvsvc",
        "6bffd098-a112-3610-9833-46c3f87e345a": "wkssvc",
        "338cd001-2244-31f1-aaaa-900038001003": "winreg",
        "12345778-1234-abcd-ef00-0123456789ab": "lsarpc",
        "12345778-1234-abcd-ef00-0123456789ac": "samr",
        "12345678-1234-abcd-ef00-01234567cffb": "netlogon",
        "12345678-1234-abcd-ef00-0123456789ab": "spoolss",
        "e3514235-4b06-11d1-ab04-00c04fc2dcd2": "drsuapi",
        "c681d488-d850-11d0-8c52-00c04fd90f7e": "efsrpc",
        "df1941c5-fe89-4e79-bf10-463657acf44d": "efsrpc",
        "e1af8308-5d1f-11c9-91a4-08002b14a0fa": "epmapper",
        "4d9f4ab8-7d1c-11cf-861e-0020af6e7c57": "iactivation",
        "000001a0-0000-0000-c000-000000000046": "isystemactivator",
        "99fcfec4-5260-101b-bbcb-00aa0021347a": "ioxidresolver",
        "82273fdc-e32a-18c3-3f78-827929dc23ea": "eventlog",
        "4fc742e0-4a10-11cf-8273-00aa004ae673": "netdfs",
    }
)


def ssh(eve: Eve) -> Event | None:
    """The banners and, where seen, the key exchanges of both ends."""
    record = eve.ssh
    if record is None:
        return None
    event = begin(eve, _SSH, "ssh")
    client, server = record.client, record.server
    if client is not None:
        event.nsm_ssh_client_software = word(client.software_version)
        event.nsm_ssh_client_hassh = word(client.hassh.hash) if client.hassh is not None else None
    if server is not None:
        event.nsm_ssh_server_software = word(server.software_version)
        event.nsm_ssh_server_hassh = word(server.hassh.hash) if server.hassh is not None else None
    event.nsm_detail = detail(
        {
            "ssh.client.version": client.proto_version if client is not None else None,
            "ssh.server.version": server.proto_version if server is not None else None,
        }
    )
    return event


def smb(eve: Eve) -> Event | None:
    """One SMB command with its status."""
    record = eve.smb
    if record is None:
        return None
    event = begin(eve, _SMB, "smb")
    put_smb(event, record)
    # Nearly all records have no more than these three.
    more: dict[str, str] = {}
    if record.session_id:
        more["smb.session_id"] = str(record.session_id)
    if record.tree_id:
        more["smb.tree_id"] = str(record.tree_id)
    if record.disposition:
        more["smb.disposition"] = clip(record.disposition, TEXT_MAX)
    access = record.access if record.access != "normal" else None
    if access or record.share_type or record.dcerpc is not None or record.command not in _SMB_PLAIN:
        more |= detail(_smb_more(record)) or {}
    if more:
        event.nsm_detail = more
    return event


def _smb_more(record: Smb) -> dict[str, Any]:
    """What only the rarer commands have."""
    ntlmssp, kerberos, rpc = record.ntlmssp, record.kerberos, record.dcerpc
    return {
        "smb.access": record.access if record.access != "normal" else None,
        "smb.share_type": record.share_type,
        "dcerpc.request": rpc.request if rpc is not None else None,
        "dcerpc.response": rpc.response if rpc is not None else None,
        "smb.directory": record.directory,
        "smb.function": record.function,
        "smb.subcommand": record.subcmd,
        "smb.level_of_interest": record.level_of_interest,
        "smb.rename_from": _text(record.rename, "from"),
        "smb.rename_to": _text(record.rename, "to"),
        "smb.client_dialects": record.client_dialects,
        "smb.ntlmssp_domain": ntlmssp.domain if ntlmssp is not None else None,
        "smb.ntlmssp_host": ntlmssp.host if ntlmssp is not None else None,
        "smb.ntlmssp_version": ntlmssp.version if ntlmssp is not None else None,
        "smb.kerberos_realm": kerberos.realm if kerberos is not None else None,
        "smb.kerberos_sname": "/".join(kerberos.snames or ()) if kerberos is not None else None,
    }


def put_smb(event: Event, record: Smb) -> None:
    """Fill in ``nsm.smb.*`` and what rides on it (also of an alert)."""
    event.nsm_smb_command, event.nsm_smb_dialect = record.command, record.dialect
    event.nsm_smb_status = record.status
    if record.share:
        event.nsm_smb_share = prose(record.share)
    if record.filename:
        event.nsm_smb_filename = prose(record.filename)
    if record.named_pipe:
        event.nsm_smb_named_pipe = word(record.named_pipe)
    if record.size:
        event.file_size = record.size
    if record.ntlmssp is not None:
        event.user_name = word(record.ntlmssp.user)
    if record.dcerpc is not None:
        _put_rpc(event, record.dcerpc)


def _text(values: dict[str, str | int | None] | None, name: str) -> str | None:
    value = values.get(name) if values else None
    return str(value) if value is not None else None


def _put_rpc(event: Event, record: Dcerpc) -> None:
    if interfaces := record.interfaces:
        uuids = [one.uuid.lower() for one in interfaces]
        event.nsm_dcerpc_interface = words(dict.fromkeys(uuids))
        # The interface that was accepted (result 0), else the first that was asked for and is known.
        taken = [uuid for uuid, one in zip(uuids, interfaces, strict=True) if not one.ack_result] or uuids
        event.nsm_dcerpc_endpoint = next((ENDPOINTS[uuid] for uuid in taken if uuid in ENDPOINTS), None)
    event.nsm_dcerpc_opnum = record.opnum if record.opnum is not None or record.req is None else record.req.opnum


def dcerpc(eve: Eve) -> Event | None:
    """A DCE/RPC request with its response, over TCP or UDP."""
    record = eve.dcerpc
    if record is None:
        return None
    event = begin(eve, _DCERPC, "dcerpc")
    _put_rpc(event, record)
    event.nsm_detail = detail(
        {
            "dcerpc.request": record.request,
            "dcerpc.response": record.response,
            "dcerpc.version": record.rpc_version,
            "dcerpc.call_id": record.call_id,
        }
    )
    return event


def krb5(eve: Eve) -> Event | None:
    """A Kerberos message; Suricata writes replies with the server as source."""
    record = eve.krb5
    if record is None:
        return None
    event = begin(eve, _KRB5, "krb5", turned=record.msg_type in _KRB5_REPLIES)
    event.nsm_krb5_msg_type = word(record.msg_type)
    event.nsm_krb5_cname, event.nsm_krb5_realm = word(record.cname), word(record.realm)
    event.nsm_krb5_sname = word(record.sname)
    event.nsm_krb5_encryption = word(record.encryption)
    event.nsm_krb5_ticket_encryption = word(record.ticket_encryption)
    event.nsm_krb5_weak_encryption = record.ticket_weak_encryption or record.weak_encryption
    event.nsm_krb5_error_code = word(record.error_code)
    if record.msg_type in _KRB5_REPLIES:
        event.event_outcome = "failure" if record.msg_type == "KRB_ERROR" else "success"
    event.nsm_detail = detail({"krb5.failed_request": record.failed_request})
    return event


def rdp(eve: Eve) -> Event | None:
    """A step of RDP's negotiation; Suricata writes it in the direction of whatever packet came next."""
    record = eve.rdp
    if record is None:
        return None
    event = begin(eve, _RDP, "rdp", turned=eve.src_port == _RDP_PORT and eve.dest_port != _RDP_PORT)
    event.nsm_rdp_event = word(record.event_type)
    event.nsm_rdp_cookie = word(record.cookie)
    client = record.client or {}
    event.nsm_detail = detail(
        {
            "rdp.protocol": record.protocol,
            "rdp.reason": record.reason,
            "rdp.error_code": record.error_code,
            "rdp.client_name": client["client_name"] if isinstance(client.get("client_name"), str) else None,
            "rdp.client_build": client["build"] if isinstance(client.get("build"), str) else None,
            "rdp.channels": record.channels,
            "rdp.x509_serials": record.x509_serials,
        }
    )
    return event


def smtp(eve: Eve) -> Event | None:
    """A mail transaction."""
    record = eve.smtp
    if record is None:
        return None
    event = begin(eve, _SMTP, "smtp")
    put_mail(event, record, eve.email)
    return event


def put_mail(event: Event, record: Smtp | None, email: Email | None) -> None:
    """Fill in ``email.*`` from the envelope, or where that is absent from the headers (also of an alert)."""
    sender, receivers = None, None
    if record is not None:
        event.nsm_smtp_helo = word(record.helo)
        sender, receivers = record.mail_from, record.rcpt_to
    if email is not None:
        sender, receivers = sender or email.from_, receivers or email.to
        event.email_subject = prose(email.subject)
        event.nsm_detail = detail(
            {"email.status": email.status, "email.attachment": email.attachment, "email.message_id": email.message_id}
        )
    event.email_from_address = words([_mailbox(sender)]) if sender else None
    event.email_to_address = words(_mailbox(one) for one in receivers) if receivers else None


def _mailbox(text: str) -> str:
    """The address of ``"A. Name" <name@example.nl>``, lower-case."""
    start, end = text.rfind("<"), text.rfind(">")
    return (text[start + 1 : end] if 0 <= start < end else text).strip().lower()


def ftp(eve: Eve) -> Event | None:
    """A command with its reply. The argument of PASS is left out."""
    record = eve.ftp
    if record is None:
        return None
    event = begin(eve, _FTP, "ftp")
    event.nsm_ftp_command = word(record.command)
    event.nsm_ftp_reply_code = words(record.completion_code)
    if record.command != "PASS":
        event.nsm_ftp_argument = prose(record.command_data)
    if record.command == "USER":
        event.user_name = word(record.command_data)
    event.nsm_detail = detail(
        {
            "ftp.reply": record.reply[0] if record.reply else None,
            "ftp.mode": record.mode,
            "ftp.port": record.dynamic_port,
        }
    )
    return event


def ftp_data(eve: Eve) -> Event | None:
    """The transfer that a command asked for."""
    record = eve.ftp_data
    if record is None:
        return None
    event = begin(eve, _FTP, "ftp-data")
    event.nsm_ftp_command = word(record.command)
    event.file_path = prose(record.filename)
    event.file_name = word(record.filename.rpartition("/")[2]) if record.filename else None
    return event


def snmp(eve: Eve) -> Event | None:
    """An SNMP message; replies have the agent as source in EVE."""
    record = eve.snmp
    if record is None:
        return None
    event = begin(eve, _SNMP, "snmp", turned=record.pdu_type in _SNMP_REPLIES)
    event.nsm_snmp_version = word(record.version)
    event.nsm_snmp_pdu_type = word(record.pdu_type)
    event.nsm_snmp_community = word(record.community)
    event.user_name = word(record.usm)
    event.nsm_detail = detail(
        {
            "snmp.error": record.error,
            "snmp.trap_type": record.trap_type,
            "snmp.trap_oid": record.trap_oid,
            "snmp.trap_address": record.trap_address,
            "snmp.variables": record.vars,
        }
    )
    return event


def sip(eve: Eve) -> Event | None:
    """A SIP request or response; a response has the answering end as source in EVE."""
    record = eve.sip
    if record is None:
        return None
    event = begin(eve, _SIP, "sip", turned=record.code is not None)
    event.nsm_sip_method, event.nsm_sip_code = word(record.method), word(record.code)
    event.nsm_sip_uri = prose(record.uri)
    event.nsm_detail = detail({"sip.version": record.version, "sip.reason": record.reason})
    return event


def rfb(eve: Eve) -> Event | None:
    """A VNC session's opening."""
    record = eve.rfb
    if record is None:
        return None
    event = begin(eve, _RFB, "rfb")
    login = record.authentication
    if login is not None:
        result = login.security_result or login.hyphenated_result
        event.nsm_rfb_authentication = word(result)
        if result is not None:
            event.event_outcome = "success" if result.upper() == "OK" else "failure"
    server, client = record.server_protocol_version, record.client_protocol_version
    screen = record.framebuffer or {}
    event.nsm_detail = detail(
        {
            "rfb.server_version": f"{server.major}.{server.minor}" if server is not None else None,
            "rfb.client_version": f"{client.major}.{client.minor}" if client is not None else None,
            "rfb.security_type": login.security_type if login is not None else None,
            "rfb.failure": record.server_security_failure_reason,
            "rfb.desktop": screen["name"] if isinstance(screen.get("name"), str) else None,
        }
    )
    return event


def mqtt(eve: Eve) -> Event | None:
    """One MQTT exchange: the names of its packets in order. The broker is known by its port."""
    record = eve.mqtt
    if record is None:
        return None
    event = begin(eve, _MQTT, "mqtt", turned=eve.src_port in _MQTT_PORTS and eve.dest_port not in _MQTT_PORTS)
    event.nsm_mqtt_type = words(record)
    connect, publish, accepted = (_table(record, name) for name in ("connect", "publish", "connack"))
    user, client, topic = connect.get("username"), connect.get("client_id"), publish.get("topic")
    code = accepted.get("return_code")
    event.user_name = word(user) if isinstance(user, str) else None
    if isinstance(code, int):
        event.event_outcome = "success" if code == 0 else "failure"
    event.nsm_detail = detail(
        {
            "mqtt.client_id": client if isinstance(client, str) else None,
            "mqtt.topic": topic if isinstance(topic, str) else None,
            "mqtt.return_code": code if isinstance(code, int) else None,
        }
    )
    return event


def _table(record: dict[str, object], name: str) -> dict[str, object]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def dhcp(eve: Eve) -> Event | None:
    """A DHCP message. The source of a reply is whom it was sent to: the client's address, or broadcast."""
    record = eve.dhcp
    if record is None:
        return None
    reply = record.type == "reply"
    event = begin(eve, _DHCP, "dhcp", turned=reply)
    event.nsm_dhcp_type = word(record.dhcp_type)
    if record.id is not None:
        event.nsm_dhcp_transaction_id = f"{record.id & 0xFFFFFFFF:08x}"
    event.nsm_dhcp_client_mac = mac(record.client_mac)
    event.nsm_dhcp_client_hostname = host(_without_nul(record.hostname))
    event.nsm_dhcp_assigned_ip = _given(record.assigned_ip)
    if reply:
        event.nsm_dhcp_server_ip = address(eve.src_ip)
    event.nsm_detail = detail(
        {
            "dhcp.requested_ip": _given(record.requested_ip),
            "dhcp.client_ip": _given(record.client_ip),
            "dhcp.relay_ip": _given(record.relay_ip),
            "dhcp.next_server_ip": _given(record.next_server_ip),
            "dhcp.vendor_class": _without_nul(record.vendor_class_identifier),
            "dhcp.lease_time": record.lease_time,
            "dhcp.subnet_mask": record.subnet_mask,
            "dhcp.routers": record.routers,
            "dhcp.dns_servers": record.dns_servers,
            "dhcp.client_id": record.client_id if record.client_id != record.client_mac else None,
        }
    )
    return event


def _without_nul(text: str | None) -> str | None:
    # Some clients count the NUL byte behind a C string, or fill a field up with them.
    return text.replace("\0", "") if text is not None else None


def _given(text: str | None) -> str | None:
    return address(text) if text != "0.0.0.0" else None  # noqa: S104 - "no address yet", nothing is bound


def arp(eve: Eve) -> Event | None:
    """An ARP packet (Suricata 8)."""
    record = eve.arp
    if record is None:
        return None
    event = begin(eve, _ARP, "arp")
    event.source_ip = event.nsm_arp_sender_ip = address(record.src_ip)
    event.destination_ip = event.nsm_arp_target_ip = address(record.dest_ip)
    event.source_mac = mac(record.src_mac) or event.source_mac
    if record.dest_mac and record.dest_mac != "00:00:00:00:00:00":
        event.destination_mac = mac(record.dest_mac)
    event.network_transport = None
    event.network_type = "ipv4"
    event.nsm_arp_operation = clip(record.opcode) if record.opcode else None
    return event
