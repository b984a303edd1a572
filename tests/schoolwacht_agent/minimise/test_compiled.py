from __future__ import annotations

from typing import Any

import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.minimise.compiled import Compiled
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms
from schoolwacht_agent.minimise.treatment import FIELDS, Treatment
from tests.schoolwacht_agent.minimise.made import event, pseudonyms, shown

MADE = pseudonyms()
LEFT_OUT: list[str] = []
COMPILED = Compiled(MADE, Hosts(MADE), unlisted=LEFT_OUT.append)


def treated(dataset: Dataset, **fields: Any) -> Event:
    """An event after the treatment for its dataset."""
    one = event(dataset, **fields)
    (COMPILED.signal if dataset is Dataset.SIGNAL else COMPILED.event)(one)
    return one


@pytest.mark.parametrize("name", [name for name, rule in FIELDS.items() if rule.event is Treatment.DROP])
def test_what_is_dropped_is_gone(name: str) -> None:
    one = event(Dataset.HTTP)
    setattr(one, name, ["x"] if name.startswith("related") else "x")
    COMPILED.event(one)
    assert getattr(one, name) is None


def test_both_ends_are_treated_and_the_rest_of_a_flow_stays() -> None:
    before = event(Dataset.FLOW, source_port=50000, network_community_id="1:abc", source_mac="02-00-00-00-00-01")
    one = event(Dataset.FLOW, source_port=50000, network_community_id="1:abc", source_mac="02-00-00-00-00-01")
    COMPILED.event(one)
    assert one.source_ip == MADE.address("10.21.3.7")
    assert one.destination_ip == before.destination_ip
    changed = {name for name, value in shown(one).items() if shown(before).get(name) != value}
    assert changed == {"source_ip", "network_community_id", "source_mac", "pseudonym_epoch"}


def test_a_community_id_cannot_be_found_by_trying_addresses() -> None:
    one = treated(Dataset.FLOW, network_community_id="1:LQU9qZlK+B5F3KDmev6m5PMibrg=")
    assert one.network_community_id == MADE.connection("1:LQU9qZlK+B5F3KDmev6m5PMibrg=")
    assert one.network_community_id is not None
    assert one.network_community_id.startswith("p:")


def test_of_dns_answers_names_and_addresses_are_treated_and_text_is_dropped() -> None:
    one = treated(
        Dataset.DNS,
        dns_answers_type=["A", "A", "CNAME", "TXT", "MX", "SSHFP"],
        dns_answers_name=["pc-jan.local"] * 6,
        dns_answers_data=["10.0.0.5", "203.0.113.9", "pc-jan.local", "a secret", "10 mail.example.nl", "1 1 ab"],
        dns_resolved_ip=["10.0.0.5", "203.0.113.9"],
    )
    name = Hosts(MADE).of("pc-jan.local")
    address = MADE.address("10.0.0.5")
    assert one.dns_answers_data == [address, "203.0.113.9", name, "", "10 mail.example.nl", "1 1 ab"]
    assert one.dns_answers_name == [name] * 6
    assert one.dns_resolved_ip == [address, "203.0.113.9"]


URL: dict[str, Any] = {
    "url_domain": "www.example.nl",
    "url_original": "/les/toets?token=geheim",
    "url_path": "/les/toets",
    "url_query": "token=geheim",
    "url_full": "http://www.example.nl/les/toets?token=geheim",
    "http_request_referrer": "http://elo.example.nl/les?x=geheim",
}


def test_of_a_url_scheme_and_host_stay() -> None:
    one = treated(Dataset.HTTP, **URL)
    assert one.url_full == "http://www.example.nl/"
    assert (one.url_original, one.url_path, one.url_query, one.http_request_referrer) == (None,) * 4


def test_of_a_request_from_outside_to_a_readable_server_the_path_stays() -> None:
    inbound = {"network_direction": Direction.INBOUND, "source_ip": "203.0.113.9"}
    one = treated(Dataset.HTTP, **(URL | inbound | {"destination_ip": "198.51.100.1"}))
    assert one.url_full == "http://www.example.nl/les/toets"
    assert one.url_query is None
    hidden = treated(Dataset.HTTP, **(URL | inbound | {"destination_ip": "10.0.0.80"}))
    assert hidden.url_full == "http://www.example.nl/"


def test_an_alert_keeps_a_bounded_url() -> None:
    one = treated(Dataset.SIGNAL, **(URL | {"url_query": "id=1%20union%20select" + "x" * 1000}))
    assert one.url_query is not None
    assert one.url_query.startswith("id=1%20union%20select")
    assert len(one.url_query) == 256
    assert one.url_path == "/les/toets"


def test_a_person_that_traffic_has_named_is_not_in_an_alerts_url() -> None:
    MADE.name("piet.pietersen")
    one = treated(Dataset.SIGNAL, url_path="/leerling/piet.pietersen/cijfers")
    assert one.url_path == f"/leerling/{MADE.name('piet.pietersen')}/cijfers"


@pytest.mark.parametrize(
    ("command", "argument", "left"),
    [
        ("USER", "jan", MADE.name("jan")),
        ("RETR", "jan.docx", f"{MADE.name('jan.docx')}.docx"),
        ("PORT", "10,0,0,5,4,1", None),
    ],
)
def test_the_argument_of_an_ftp_command_is_treated_by_the_command(
    command: str, argument: str, left: str | None
) -> None:
    assert treated(Dataset.FTP, nsm_ftp_command=command, nsm_ftp_argument=argument).nsm_ftp_argument == left


def test_a_self_signed_certificate_hides_its_machine_and_an_authority_stays() -> None:
    own = treated(Dataset.TLS, tls_server_subject="CN=PC-JAN", tls_server_issuer="CN=PC-JAN")
    assert own.tls_server_issuer == own.tls_server_subject == f"CN={MADE.name('pc-jan')}"
    world = treated(Dataset.TLS, tls_server_subject="CN=www.example.nl", tls_server_issuer="C=US, CN=R3")
    assert world.tls_server_issuer == "C=US, CN=R3"


def test_of_detail_each_key_has_its_treatment_and_an_unknown_one_goes() -> None:
    LEFT_OUT.clear()
    one = treated(
        Dataset.SMB,
        nsm_detail={
            "smb.ntlmssp_domain": "PC-JAN", "smb.ntlmssp_host": "PC-JAN", "smb.session_id": "7", "smb.new": "jan",
            "dhcp.requested_ip": "10.0.0.5", "file.magic": "PDF document, author Jan",
        },
    )  # fmt: skip
    assert one.nsm_detail == {
        "smb.ntlmssp_domain": MADE.name("pc-jan"),
        "smb.ntlmssp_host": MADE.name("pc-jan"),
        "smb.session_id": "7",
        "dhcp.requested_ip": MADE.address("10.0.0.5"),
        "file.magic": "PDF document",
    }
    assert LEFT_OUT == ["smb.new"]


def test_of_a_signals_detail_what_is_unknown_is_searched_for_identities() -> None:
    one = treated(Dataset.SIGNAL, nsm_detail={"hosts": "20", "servers": "10.0.0.5, 203.0.113.9"})
    assert one.nsm_detail == {"hosts": "20", "servers": f"{MADE.address('10.0.0.5')}, 203.0.113.9"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_name", "SCHOOL\\jan"), ("nsm_krb5_cname", "jan"), ("nsm_rdp_cookie", "jan"), ("nsm_smtp_helo", "pc-jan"),
        ("nsm_dhcp_client_hostname", "pc-jan"), ("nsm_sip_uri", "sip:jan@a.nl"), ("email_from_address", ["jan@a.nl"]),
        ("email_to_address", ["jan@a.nl"]), ("nsm_krb5_sname", "host/pc-jan.lan"), ("nsm_snmp_community", "jan"),
        ("nsm_smb_share", "\\\\pc-jan\\jan"), ("nsm_smb_filename", "jan"), ("file_name", "jan.doc"),
        ("dns_question_name", "pc-jan.local"), ("tls_client_server_name", "pc-jan"), ("url_domain", "pc-jan"),
        ("tls_server_x509_alternative_names", ["pc-jan", "www.example.nl"]),
    ],
)  # fmt: skip
def test_who_and_which_machine_is_not_shown(field: str, value: Any) -> None:
    one = treated(Dataset.SMB, **{field: value})
    assert "jan" not in str(getattr(one, field))
    assert "p-202611-" in str(getattr(one, field))


def held(cache: Pseudonyms) -> int:
    return len(cache.names.young)


def test_what_is_absent_costs_no_pseudonym() -> None:
    before = held(MADE)
    treated(Dataset.SMB)
    assert held(MADE) == before
