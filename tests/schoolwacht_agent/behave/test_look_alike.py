"""D27: what is an imitation and what is not."""

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.behave.look_alike import LookAlikeSettings, known_brands, likeness
from schoolwacht_agent.behave.spelling import shown
from tests.schoolwacht_agent.behave.traffic import MORNING, found, query, signals


def web(name: str, dataset: Dataset = Dataset.TLS) -> Event:
    event = Event(timestamp=MORNING, event_dataset=dataset, source_ip="10.21.0.23", destination_ip="203.0.113.20")
    if dataset is Dataset.TLS:
        event.tls_client_server_name = name
    else:
        event.url_domain = name
    return event


@pytest.mark.parametrize(
    "name",
    [
        "magister-inloggen.nl",
        "login-magister.pages.dev",
        "rnagister.nl",
        "mag1ster.net",
        "magistter.nl",
        "www.dlgid.nl",
        "digid-verificatie.nl",
        "inloggendigid.nl",
        "mijn-digid.com",
        "g00gle.com",
        "google-account-verify.com",
        "loginmicrosoftonline.com",
        "micros0ftonline.com",
        "microsfotonline.com",
        "somtoday-app.nl",
        "som-today.nl",
        "parnasys.nl",
        "kennisnett.nl",
        "sivon-login.nl",
        "entree-inloggen.nl",
    ],
)
def test_an_imitation_is_medium(name: str) -> None:
    (signal,) = signals([query(0, name)])
    assert (signal.rule_id, signal.signal_severity, signal.signal_confidence) == ("D27", "Minor", "Medium")


@pytest.mark.parametrize(
    "name",
    [
        "gogle.com",
        "googel.com",
        "google-maps-widget.com",
        "digid.com",
        "kennisnet.com",
        "groenkennisnet.nl",
        "entree-museum.nl",
    ],
)
def test_a_likeness_that_chance_explains_is_low(name: str) -> None:
    (signal,) = signals([query(0, name)])
    assert (signal.rule_id, signal.signal_confidence) == ("D27", "Low")


@pytest.mark.parametrize(
    "name",
    [
        # Their own
        "digid.nl",
        "mijn.digid.nl",
        "google.nl",
        "google.co.uk",
        "www.googleapis.com",
        "r3---sn-5hne6nsr.googlevideo.com",
        "www.googletagmanager.com",
        "www.google-analytics.com",
        "school.magister.net",
        "login.microsoftonline.com",
        "aadcdn.microsoftonline-p.com",
        "inloggen.somtoday.nl",
        "entree.kennisnet.nl",
        # Other people's
        "doodle.com",
        "goggle.com",
        "digit.nl",
        "digital.nl",
        "simon.nl",
        "register.com",
        "minister.nl",
        "master.com",
        "parnassus.nl",
        "entree.nl",
        "magisterium.com",
        "digidentity.eu",
        "digits-login.nl",
        "david-login.nl",
        "jobtoday.com",
        "www-digid-nl.translate.goog",
        # Private networks, search lists, block lists
        "dc1.magister.local",
        "login.microsoftonline.com.school-x.nl",
        "digid.nl.multi.surbl.org",
        "nl",
        "53.100.51.198.in-addr.arpa",
    ],
)
def test_an_owned_or_unrelated_name_is_not(name: str) -> None:
    assert found([query(0, name)]) == []


def test_letters_of_another_script_are_read_as_what_they_look_like() -> None:
    for label in ("mаgister", "gооgle", "dıgid", "sömtoday", "ԁigid"):
        punycode = "xn--" + label.encode("punycode").decode()
        (signal,) = signals([query(0, f"{punycode}.nl")])
        assert signal.signal_confidence == "Medium"
        assert label in (signal.message or "")


def test_an_accent_on_an_ordinary_word_is_not() -> None:
    assert found([query(0, "xn--" + "entrée".encode("punycode").decode() + ".nl")]) == []


def test_a_label_that_is_no_punycode_is_taken_as_it_is() -> None:
    assert shown("xn--99999999999999") == "xn--99999999999999"
    assert found([query(0, "xn--zzzzzzzz99999.nl")]) == []


def test_an_owned_domain_before_another_counts_in_tls_and_http_only() -> None:
    name = "login.microsoftonline.com.aanmelding-x.xyz"
    assert found([query(0, name)]) == []
    assert found([web(name)]) == ["D27"]
    assert found([web(name, Dataset.HTTP)]) == ["D27"]


def test_a_domain_is_told_once_and_again_when_ten_hosts_have_asked() -> None:
    name = "magister-inloggen.nl"
    one = [query(n, f"w{n}.{name}", client="10.21.0.1") for n in range(50)]
    assert found(one) == ["D27"]
    class_room = [query(60 + n, name, client=f"10.21.0.{n}") for n in range(2, 30)]
    told = signals([*one, *class_room])
    assert [(signal.nsm_detail or {})["hosts"] for signal in told] == ["1", "10"]


def test_it_is_told_again_after_a_quiet_period() -> None:
    assert found([query(0, "dlgid.nl"), query(86_300, "dlgid.nl"), query(90_000 + 86_400, "dlgid.nl")]) == [
        "D27",
        "D27",
    ]


def test_a_school_owns_domains_and_names_of_its_own() -> None:
    settings = BehaveSettings(look_alike=LookAlikeSettings(owned=("magister-inloggen.nl",), brands=("pleincollege",)))
    behaviour = Behaviour(settings)
    assert len(behaviour.judge([query(0, "magister-inloggen.nl")])) == 1
    assert behaviour.judge([query(0, "pleincol1ege.nl")])[1].rule_id == "D27"


def test_an_answer_is_not_a_question() -> None:
    event = query(0, "dlgid.nl")
    event.dns_type = "answer"
    assert found([event]) == []


def test_no_name_is_like_itself_below_its_own_domain() -> None:
    for brand in known_brands():
        for domain in brand.owned:
            assert found([query(0, f"www.{domain}")]) == [], domain


def test_the_strongest_likeness_is_told() -> None:
    found_likeness = likeness("google-digid-inloggen", known_brands())
    assert found_likeness is not None
    assert found_likeness.strong
