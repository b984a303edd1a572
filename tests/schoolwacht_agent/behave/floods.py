"""Events of as many different things as one likes, for each detector: to fill its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from schoolwacht.event import Dataset, Direction, Event
from tests.schoolwacht_agent.behave.traffic import MORNING, REFUSED, SILENT, flow, query


def address(number: int) -> str:
    """A different address for each number."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def port_scans(number: int) -> Iterator[Event]:
    """Pairs of hosts, one port each."""
    return (flow(n / 1000, address(n), "10.9.9.9", 22, reply=REFUSED) for n in range(number))


def arp_requests(number: int) -> Iterator[Event]:
    """Machines that ask for one address each."""
    for n in range(number):
        yield Event(
            timestamp=MORNING + timedelta(milliseconds=n),
            event_dataset=Dataset.ARP,
            source_mac=f"02:00:{n >> 24 & 255:02x}:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}",
            nsm_arp_operation="request",
            nsm_arp_sender_ip=address(n),
            nsm_arp_target_ip="10.9.9.9",
        )


def logins(number: int) -> Iterator[Event]:
    """Pairs with one brief log-in each."""
    return (flow(n / 1000, address(n), "10.9.9.9", 3389, direction=Direction.INBOUND) for n in range(number))


def kerberos(number: int) -> Iterator[Event]:
    """Sources with one name each."""
    for n in range(number):
        yield Event(
            timestamp=MORNING + timedelta(milliseconds=n),
            event_dataset=Dataset.KRB5,
            source_ip=address(n),
            nsm_krb5_msg_type="KRB_ERROR",
            nsm_krb5_cname=f"leerling{n}",
            nsm_krb5_error_code="KDC_ERR_C_PRINCIPAL_UNKNOWN",
        )


def calls(number: int) -> Iterator[Event]:
    """Pairs with four even calls each."""
    return (flow(n / 100 + k, address(n), f"203.0.{n >> 8 & 255}.{n & 255}") for n in range(number) for k in range(4))


def questions(number: int) -> Iterator[Event]:
    """Clients that ask for a TXT record below a domain of their own each."""
    return (query(n / 1000, f"c{n}.opdracht{n}.example", "TXT", client=address(n)) for n in range(number))


def dhcp(number: int) -> Iterator[Event]:
    """Clients that ask once and are answered by two servers each."""
    for n in range(number):
        for place, kind in enumerate(("discover", "offer", "offer")):
            yield Event(
                timestamp=MORNING + timedelta(milliseconds=n),
                event_dataset=Dataset.DHCP,
                nsm_dhcp_type=kind,
                nsm_dhcp_client_mac=f"02:{n}",
                nsm_dhcp_transaction_id=f"0x{n:x}",
                nsm_dhcp_server_ip=address(n * 2 + place) if place else None,
            )


def renames(number: int) -> Iterator[Event]:
    """Users that rename one file each."""
    for n in range(number):
        yield Event(
            timestamp=MORNING + timedelta(milliseconds=n),
            event_dataset=Dataset.SMB,
            source_ip=address(n),
            destination_ip="10.9.9.9",
            network_community_id=f"1:{n}",
            user_name=f"u{n}",
            nsm_smb_share="\\\\fs\\x",
            nsm_smb_command="SMB2_COMMAND_SET_INFO",
            nsm_detail={"smb.session_id": "1", "smb.tree_id": "1", "smb.rename_from": f"a{n}", "smb.rename_to": "b"},
        )


def imitations(number: int) -> Iterator[Event]:
    """Domains that look like one that people log in at."""
    return (query(n / 1000, f"digid-inloggen-{n}.example") for n in range(number))


def stealers(number: int) -> Iterator[Event]:
    """Hosts that ask for their public address and send a mail each."""
    for n in range(number):
        yield query(n / 1000, "api.ipify.org", client=address(n))
        yield flow(n / 1000, address(n), port=587)


def uploads(number: int) -> Iterator[Event]:
    """Hosts that send 60 MB out each."""
    for n in range(number):
        event = flow(n / 1000, address(n))
        event.source_bytes = 60_000_000
        yield event


def unasked(number: int) -> Iterator[Event]:
    """Packets from outside to one school each."""
    for n in range(number):
        event = flow(n / 1000, "203.0.113.9", address(n), reply=SILENT, direction=Direction.INBOUND, transport="udp")
        event.school_location = f"{n}"
        yield event


FLOODS: dict[str, Callable[[int], Iterator[Event]]] = {
    "D01": port_scans,
    "D02": port_scans,
    "D03": arp_requests,
    "D04": logins,
    "D05": kerberos,
    "D18": calls,
    "D19": questions,
    "D33": dhcp,
    "D13": renames,
    "D27": imitations,
    "D29": stealers,
    "D30": uploads,
    "D31": unasked,
}
