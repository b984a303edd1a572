import random

from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.behave.dns_tunnel import DnsTunnelSettings
from tests.schoolwacht_agent.behave.traffic import found, query, signals

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def label(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(_LETTERS, k=length))


def test_fifty_long_names_below_one_domain_are_a_tunnel() -> None:
    (signal,) = signals(query(n, f"{label(60, n)}.t.tunnel.example") for n in range(50))
    assert signal.rule_id == "D19"
    assert signal.nsm_detail == {"names": "50", "mean_length": "62", "domain": "tunnel.example"}


def test_a_blocklist_burst_of_short_names_is_not() -> None:
    assert found(query(n / 10, f"{n}.113.0.203.zen.blocklist.example") for n in range(180)) == []


def test_the_same_long_name_again_and_again_is_not() -> None:
    assert found(query(n, f"{label(60, 1)}.cdn.example") for n in range(200)) == []


def test_long_names_spread_over_many_domains_are_a_tunnel_through_the_resolver() -> None:
    assert found(query(n, f"{label(60, n)}.{label(12, n)}.example") for n in range(50)) == ["D20"]


def test_twenty_txt_queries_below_one_domain_are_a_command_channel() -> None:
    assert found(query(n * 20, f"{label(11, n)}.cmd.example", "TXT") for n in range(20)) == ["D21"]


def test_a_mail_host_asking_for_spf_dkim_and_dmarc_is_not() -> None:
    names = [f"{name}.school{n}.example" for n in range(40) for name in ("_dmarc", "s1._domainkey", "_spf")]
    assert found(query(n, name, "TXT") for n, name in enumerate(names)) == []


def test_a_domain_with_some_txt_among_other_queries_is_not() -> None:
    assert found(query(n, f"host{n}.cdn.example", "TXT" if n % 2 else "A") for n in range(60)) == []


def test_a_channel_that_takes_turns_among_txt_mx_and_cname_is_found() -> None:
    kinds = ("TXT", "MX", "CNAME")
    assert found(query(n, f"{label(18, n)}.cmd.example", kinds[n % 3]) for n in range(60)) == ["D21"]


def test_a_mail_host_that_asks_mx_and_spf_of_many_domains_is_not() -> None:
    assert found(query(n, f"school{n}.example", ("MX", "TXT")[n % 2]) for n in range(200)) == []


def test_reverse_look_ups_of_ipv6_are_not() -> None:
    names = (f"{'.'.join(f'{n:032x}'[::-1])}.ip6.arpa" for n in range(200))
    assert found(query(n / 10, name, "PTR") for n, name in enumerate(names)) == []


def test_service_discovery_is_not() -> None:
    assert found(query(n, f"{label(60, n)}._ipp._tcp.local", "PTR", resolver="224.0.0.251") for n in range(90)) == []


def test_a_virus_scanner_that_asks_in_names_is_not_and_the_school_names_its_own() -> None:
    events = [query(n, f"{label(60, n)}.avqs.mcafee.com") for n in range(100)]
    assert found(events) == []
    own = [query(n, f"{label(60, n)}.scan.leverancier.example", "TXT") for n in range(100)]
    assert set(found(own)) == {"D19", "D21"}
    settings = BehaveSettings(dns_tunnel=DnsTunnelSettings(ignored_domains=("leverancier.example",)))
    assert Behaviour(settings).judge(own) == own
