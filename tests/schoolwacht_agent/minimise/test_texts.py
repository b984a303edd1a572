from __future__ import annotations

import pytest

from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms
from schoolwacht_agent.minimise.texts import BOUND, Texts
from tests.schoolwacht_agent.minimise.made import pseudonyms


@pytest.fixture
def made() -> Pseudonyms:
    return pseudonyms()


@pytest.fixture
def texts(made: Pseudonyms) -> Texts:
    return Texts(made, Hosts(made))


def test_every_own_address_in_a_sentence_is_replaced(texts: Texts, made: Pseudonyms) -> None:
    shown = texts.message("10.0.0.5 tried port 445 of 20 hosts (10.0.0.6:445, fd12::7) and 203.0.113.9 within 60 s.")
    assert shown == (
        f"{made.address('10.0.0.5')} tried port 445 of 20 hosts ({made.address('10.0.0.6')}:445, "
        f"{made.address('fd12::7')}) and 203.0.113.9 within 60 s."
    )


@pytest.mark.parametrize("mac", ["02:1A:2b:3c:4d:5e", "02-1A-2B-3C-4D-5E"])
def test_a_mac_in_a_sentence_is_replaced_in_both_spellings(texts: Texts, made: Pseudonyms, mac: str) -> None:
    assert texts.message(f"from {mac}, twice") == f"from {made.mac('02-1A-2B-3C-4D-5E')}, twice"


def test_a_name_that_traffic_has_named_is_replaced_where_it_stands_in_a_sentence(
    texts: Texts, made: Pseudonyms
) -> None:
    made.name("jan.jansen")
    assert texts.message('account "Jan.Jansen" tried') == f'account "{made.name("jan.jansen")}" tried'
    assert texts.message("SCHOOL\\jan.jansen failed") == f"SCHOOL\\{made.name('jan.jansen')} failed"


def test_a_pupils_number_is_replaced_and_a_figure_is_not(texts: Texts, made: Pseudonyms) -> None:
    made.name("20")
    made.name("123456")
    assert texts.message("20 times by 123456") == f"20 times by {made.name('123456')}"


def test_times_and_versions_are_no_addresses(texts: Texts) -> None:
    plain = "at 09:30:15, version 1.2.3, on 2026-11-24, 4:5 and a::b::c"
    assert texts.message(plain) == plain


def test_an_alert_keeps_only_the_beginning_of_a_text(texts: Texts) -> None:
    assert len(texts.bounded("x" * 2000)) == BOUND


@pytest.mark.parametrize(
    ("share", "left"),
    [("\\\\10.0.0.9\\IPC$", "\\IPC$"), ("\\\\fs1\\C$", "\\C$"), ("\\\\fs1\\jan.jansen$", ""), ("jansen", "")],
)
def test_of_a_share_only_what_every_windows_machine_has_stays(texts: Texts, share: str, left: str) -> None:
    shown = texts.share(share)
    assert shown.endswith(left)
    assert not any(word in shown for word in ("10.0.0.9", "fs1", "jansen"))


def test_a_pipe_stays_and_a_share_as_one_does_not(texts: Texts) -> None:
    assert texts.pipe("svcctl") == "svcctl"
    assert texts.pipe("\\PIPE\\srvsvc") == "\\PIPE\\srvsvc"
    assert "10.0.0.9" not in texts.pipe("\\\\10.0.0.9\\IPC$")


@pytest.mark.parametrize("name", ["toets jan jansen.DOCX", "Users\\jan\\toets.docx"])
def test_of_a_file_the_extension_stays(texts: Texts, name: str) -> None:
    shown = texts.file(name)
    assert shown.endswith(".docx")
    assert "jan" not in shown


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("C=NL, O=Example, CN=www.example.nl", "C=NL, O=Example, CN=www.example.nl"),
        ("CN=DigiCert Global G2", "CN=DigiCert Global G2"),
    ],
)
def test_a_certificate_of_the_world_stays(texts: Texts, subject: str, shown: str) -> None:
    assert texts.common_name(subject) == shown


def test_a_certificate_of_a_schools_machine_does_not_say_which(texts: Texts, made: Pseudonyms) -> None:
    assert texts.common_name("CN=PC-JAN") == f"CN={made.name('pc-jan')}"


def test_a_persons_uri_keeps_scheme_and_host(texts: Texts, made: Pseudonyms) -> None:
    assert texts.uri("sip:jan@voip.example.nl:5060;user=phone") == f"sip:{made.name('jan')}@voip.example.nl"


def test_a_kerberos_service_keeps_what_it_is(texts: Texts, made: Pseudonyms) -> None:
    assert texts.service("krbtgt/SCHOOL.LAN") == "krbtgt/SCHOOL.LAN"
    assert texts.service("cifs/fs1.school.lan").startswith(f"cifs/{made.name('fs1')}.")
    assert texts.service("jan") == made.name("jan")
