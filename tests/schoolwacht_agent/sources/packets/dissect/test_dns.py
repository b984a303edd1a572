from __future__ import annotations

import subprocess
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.dns import NAME_MAX, RECORDS_MAX, Answer, Question, dissect_dns
from tests.parts import program
from tests.schoolwacht_agent.sources.packets.dissect.recorded import PROGRAMS, dns_payloads

HEADER = bytes.fromhex("1234 8180 0001 0001 0000 0000")
QUESTION = b"\x03www\x07Example\x02nl\x00" + pack(">HH", 1, 1)


def message(answer: bytes, *, header: bytes = HEADER, question: bytes = QUESTION) -> bytes:
    return header + question + answer


def record(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + pack(">HHIH", kind, 1, 60, len(data)) + data


def answers_of(kind: int, data: bytes) -> tuple[Answer, ...]:
    found = dissect_dns(message(record(kind, data)))
    assert found is not None
    return found.answers


def test_a_query_of_a_real_program_is_read() -> None:
    found = dissect_dns(dns_payloads()[0])
    assert found is not None
    assert (found.response, found.opcode, found.rcode, found.answers) == (False, 0, "NOERROR", ())
    assert found.questions == (Question("www.voorbeeld.example", "A"),)
    assert found.size == len(dns_payloads()[0])


def test_the_answers_of_a_real_server_are_read() -> None:
    seen = {}
    for payload in dns_payloads():
        found = dissect_dns(payload)
        assert found is not None
        if found.response:
            seen[found.questions[0].name, found.questions[0].type] = [answer.data for answer in found.answers]
    assert seen["www.voorbeeld.example", "A"] == ["203.0.113.20"]
    assert seen["www.voorbeeld.example", "AAAA"] == ["2001:db8::20"]
    assert seen["alias.local.example", "A"] == ["target.local.example", "203.0.113.21"]
    assert seen["post.example", "MX"] == ["mail.post.example"]
    assert seen["txt.example", "TXT"] == ["eerste deel", "tweede deel"]
    assert seen["_ldap._tcp.school.example", "SRV"] == ["5 10 389 dc.school.example"]
    assert seen["21.113.0.203.in-addr.arpa", "PTR"] == ["target.local.example"]


def test_header_flags_and_codes_have_their_names() -> None:
    found = dissect_dns(message(b"", header=bytes.fromhex("0001 8783 0001 0000 0000 0000")))
    assert found is not None
    assert found.flags == ("AA", "TC", "RD", "RA")
    assert found.rcode == "NXDOMAIN"


def test_messages_agree_with_tshark() -> None:
    fields = ("dns.id", "dns.flags.response", "dns.qry.name", "dns.a", "dns.aaaa", "dns.count.answers")
    options = [part for field in fields for part in ("-e", field)]
    done = subprocess.run(
        [program("tshark", "tshark"), "-r", PROGRAMS, "-Y", "dns", "-T", "fields", *options],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    theirs = sorted(line.lower().split("\t") for line in done.stdout.splitlines())
    ours = []
    for payload in dns_payloads():
        found = dissect_dns(payload)
        assert found is not None
        ours.append(
            [
                f"0x{found.id:04x}",
                str(int(found.response)),
                found.questions[0].name,
                ",".join(answer.data for answer in found.answers if answer.type == "A"),
                ",".join(answer.data for answer in found.answers if answer.type == "AAAA"),
                # The strings of one TXT record are answers of their own here.
                str(
                    len([one for one in found.answers if one.type != "TXT"])
                    + any(a.type == "TXT" for a in found.answers)
                ),
            ]
        )
    assert sorted(ours) == theirs


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (2, b"\x02NS\xc0\x10", "ns.example.nl"),
        (6, b"\x02ns\xc0\x10\x04host\xc0\x10" + pack(">5I", 1, 2, 3, 4, 5), "ns.example.nl host.example.nl 1 2 3 4 5"),
        (10, b"\x00\xfe\x41", "\x00\\xfeA"),
        (28, b"\0" * 15 + b"\1", "::1"),
        (44, b"\x01\x02\xab\xcd", "1 2 abcd"),
        (65, b"\x00\x01\x00", ""),
        (64, b"\x00\x01\x00", ""),
        (1, b"\x01\x02\x03", ""),
    ],
)
def test_data_has_the_form_of_a_zone_file(kind: int, data: bytes, text: str) -> None:
    assert [answer.data for answer in answers_of(kind, data)] == [text]


def test_a_type_without_a_name_is_its_number() -> None:
    assert answers_of(65280, b"x")[0].type == "65280"


def test_bytes_that_are_no_text_are_written_as_escapes() -> None:
    found = dissect_dns(HEADER[:6] + bytes(6) + b"\x04\xff\xc3\xa9A\x00" + pack(">HH", 1, 1))
    assert found is not None
    assert found.questions[0].name == "\\xff\\xc3\\xa9a"


def test_bytes_after_the_message_do_not_count() -> None:
    payload = message(record(1, b"\1\2\3\4"))
    found = dissect_dns(payload + b"tunnelled")
    assert found is not None
    assert found.size == len(payload)


def test_authority_and_additional_records_are_walked_over() -> None:
    header = bytes.fromhex("0001 8180 0001 0001 0001 0001")
    option = b"\x00" + pack(">HHIH", 41, 4096, 0, 4) + b"\0\x0a\0\0"
    payload = message(record(1, b"\1\2\3\4") + record(2, b"\x02ns\xc0\x10") + option, header=header)
    found = dissect_dns(payload)
    assert found is not None
    assert len(found.answers) == 1
    assert found.size == len(payload)
    assert dissect_dns(payload[:-1]) is None


def test_no_more_than_the_first_answers_are_kept() -> None:
    count = RECORDS_MAX + 36
    header = bytes.fromhex("0001 8180 0001") + pack(">H", count) + bytes(4)
    found = dissect_dns(message(record(1, b"\1\2\3\4") * count, header=header))
    assert found is not None
    assert len(found.answers) == RECORDS_MAX


def test_more_questions_than_anybody_asks_are_no_dns() -> None:
    assert dissect_dns(pack(">6H", 1, 0, RECORDS_MAX, 0, 0, 0) + QUESTION * RECORDS_MAX) is not None
    assert dissect_dns(pack(">6H", 1, 0, RECORDS_MAX + 1, 0, 0, 0) + QUESTION * (RECORDS_MAX + 1)) is None


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # itself
        b"\xc0\x20",  # forwards
        b"\x01a\xc0\x0c",  # a loop with a label in it
        b"\x41a\x00",  # a reserved label type
        b"\xff",  # cut off
    ],
)
def test_a_name_that_leads_nowhere_is_no_dns(name: bytes) -> None:
    assert dissect_dns(HEADER[:6] + bytes(6) + name + pack(">HH", 1, 1)) is None


def test_a_name_beyond_the_limit_is_no_dns() -> None:
    label = b"\x3f" + b"a" * 63
    question = pack(">HH", 1, 1)
    head = HEADER[:6] + bytes(6)
    assert dissect_dns(head + label * (NAME_MAX // 64) + b"\0" + question) is not None
    assert dissect_dns(head + label * (NAME_MAX // 64 + 1) + b"\0" + question) is None


def test_a_chain_of_pointers_is_bounded() -> None:
    # 4,000 pointers, each to the one before: refused after the first few.
    chain = b"\0" + b"".join(pack(">H", 0xC000 | (12 if i == 0 else 11 + 2 * i)) for i in range(4000))
    payload = HEADER[:4] + pack(">4H", 1, 0, 0, 0) + chain
    assert dissect_dns(payload + b"\xff" * 4) is None
    deep = HEADER[:4] + pack(">4H", 0, 1, 0, 0) + chain[:80]
    assert dissect_dns(deep) is None


@pytest.mark.parametrize("payload", dns_payloads())
def test_no_part_of_a_message_passes_for_a_message(payload: bytes) -> None:
    whole = dissect_dns(payload)
    assert whole is not None
    assert all(dissect_dns(payload[:end]) is None for end in range(whole.size))


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    found = dissect_dns(payload)
    assert found is None or found.size <= len(payload)


@given(st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=3))
def test_any_labels_come_back(labels: list[bytes]) -> None:
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    found = dissect_dns(HEADER[:6] + bytes(6) + name + pack(">HH", 1, 1))
    assert found is not None
    raw = b".".join(labels)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("ascii", "backslashreplace")
    assert found.questions[0].name == text.lower()
