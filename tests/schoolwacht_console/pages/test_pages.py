"""The pages as aiohttp serves them, without a browser: they work without scripts."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Agent
from schoolwacht_console.pages.alert import techniques
from tests.schoolwacht_console import sample
from tests.schoolwacht_console.conftest import Client


async def read(client: Client, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    text = await answer.text()
    assert answer.status == status, text
    return text


async def test_the_list_shows_open_alerts_gravest_first_with_counts(client: Client) -> None:
    text = await read(client, "/")
    assert re.findall(r'href="/alerts/(a\d+)"', text) == ["a0002", "a0001", "a0003"]
    assert re.search(r'state=open[^>]*aria-current="true">Open\s*<span class="count">3<', text)
    assert "De Vuurtoren" in text


async def test_severity_is_told_in_words(client: Client) -> None:
    assert re.search(r'class="badge critical">Critical', await read(client, "/"))


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("/?state=all", ["a0002", "a0001", "a0003", "a0005", "a0004"]),
        ("/?state=all&order=time", ["a0005", "a0004", "a0001", "a0002", "a0003"]),
        ("/?state=closed", ["a0004"]),
        ("/?severity=medium", ["a0003"]),
        ("/?school=Sluis", ["a0003"]),
        ("/?q=rule.id:D01", ["a0002"]),
        ("/?last=1h", ["a0001"]),
    ],
)
async def test_the_list_is_filtered_and_ordered(client: Client, path: str, ids: list[str]) -> None:
    assert re.findall(r'href="/alerts/(a\d+)"', await read(client, path)) == ids


@pytest.mark.parametrize("path", ["/?q=rule.id:(", "/?state=gone", "/?severity=x", "/?last=x", "/?after=zz"])
async def test_a_filter_that_cannot_be_understood_is_answered_beside_the_form(client: Client, path: str) -> None:
    text = await read(client, path, status=400)
    assert 'role="alert"' in text
    assert '<input type="search" name="q"' in text


async def test_the_list_pages_on(client: Client, store: Store) -> None:
    for number in range(100, 160):
        await store.put(Kind.ALERT, sample.alert(number), None)
    seen: list[str] = []
    path: str | None = "/?q=signal.detection:D24&severity=high"
    while path:
        text = await read(client, path)
        seen += re.findall(r'href="/alerts/(a\d+)"', text)
        following = re.search(r'href="([^"]+)" rel="next"', text)
        path = html.unescape(following[1]) if following else None
    assert len(seen) == len(set(seen)) == 61


async def test_an_alert_shows_its_facts_signals_and_surroundings(client: Client) -> None:
    text = await read(client, "/alerts/a0001")
    assert 'href="https://attack.mitre.org/techniques/T1071"' in text
    assert "T1071 Application Layer Protocol" in text
    assert "GET download.gratis-spellen.example/files/spel.exe → 200" in text
    assert "download.gratis-spellen.example A → 203.0.113.66" in text
    assert text.count('<span class="dataset">signal</span>') == 2


async def test_behaviour_without_a_connection_shows_the_events_between_its_two_addresses(
    client: Client, store: Store
) -> None:
    at = sample.NOW - timedelta(minutes=2)
    ends: dict[str, Any] = {
        "source_ip": "10.22.0.66",
        "destination_ip": "10.22.0.9",
        "network_direction": Direction.INTERNAL,
    }
    long_before = at - timedelta(minutes=12)
    found = sample.signal(70, at, "k8", network_community_id=None, event_start=long_before, destination_port=22, **ends)
    own = sample.event(71, long_before, Dataset.FLOW, network_protocol="own", destination_port=22, **ends)
    other = sample.event(72, at, Dataset.FLOW, network_protocol="another-port", destination_port=23, **ends)
    arp = sample.event(73, at, Dataset.ARP, network_protocol="arp", destination_port=22, **ends)
    await store.create([found, own, other, arp])
    await store.put(Kind.ALERT, sample.alert(8, first=at, last=at, entity="10.22.0.66"), None)
    text = await read(client, "/alerts/a0008")
    connections = text.split('id="connections"')[1].split("</section>")[0]
    assert re.findall("<dt>event.id</dt><dd>([^<]+)", connections) == ["e000071"]


async def test_a_host_that_is_not_named_is_said_to_be_so(client: Client, store: Store) -> None:
    await store.put(Kind.ALERT, sample.alert(8, entity="school-00aa00"), None)
    text = await read(client, "/alerts/a0008")
    assert text.count("een at the school; which host is not told at this level of detail") == 2
    assert "Other traffic of <code>" not in text


async def test_a_query_that_cannot_be_understood_shows_no_counts(client: Client) -> None:
    text = await read(client, "/?q=rule.id:(", status=400)
    assert 'class="count"' not in text
    assert not re.search(r"<b>\d", text)


async def test_an_agent_that_is_silent_for_ten_minutes_is_marked(client: Client, store: Store) -> None:
    assert "Not heard of for 10 minutes" not in await read(client, "/agents")
    found = await store.get(Kind.AGENT, "school-00aa00")
    assert found is not None
    assert isinstance(found.record, Agent)
    silent = msgspec.structs.replace(found.record, last_seen=sample.NOW - timedelta(minutes=11))
    await store.put(Kind.AGENT, silent, found.version)
    assert (await read(client, "/agents")).count("Not heard of for 10 minutes") == 1


@pytest.mark.parametrize("path", ["/alerts/a0001", "/search?last=24h"])
async def test_pseudonyms_are_explained_once(client: Client, path: str) -> None:
    assert (await read(client, path)).count("are pseudonyms") == 1


async def test_an_alert_of_nobody_is_a_404(client: Client) -> None:
    await read(client, "/alerts/nobody", status=404)


async def test_a_form_changes_the_state_and_leads_back(client: Client) -> None:
    form = {"state": "acknowledged", "reason": "looking"}
    answer = await client.post(
        "/alerts/a0001/state", data=form, headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/alerts/a0001")
    text = await read(client, "/alerts/a0001")
    assert "Acknowledged by console" in text
    assert "looking" in text


async def test_closing_without_a_reason_is_refused_on_a_page(client: Client) -> None:
    answer = await client.post("/alerts/a0001/state", data={"state": "closed", "reason": " "})
    assert answer.status == 400
    assert "needed to close an alert" in await answer.text()


async def test_the_id_in_a_redirect_is_encoded(client: Client, store: Store) -> None:
    await store.put(Kind.ALERT, sample.alert(7, id="//evil.example\r\nX: y"), None)
    answer = await client.post(
        "/alerts/%2F%2Fevil.example%0D%0AX%3A%20y/state", data={"state": "acknowledged"}, allow_redirects=False
    )
    assert answer.status == 303
    assert answer.headers["Location"] == "/alerts/%2F%2Fevil.example%0D%0AX%3A%20y"


async def test_agents_are_shown_without_their_keys(client: Client) -> None:
    text = await read(client, "/agents")
    assert re.findall(r"<code>(school-\w+)</code>", text) == ["school-00aa00", "school-00ab00", "school-00ac00"]
    assert "never" in text
    assert "Disabled" in text
    assert "0" * 64 not in text


async def test_search_shows_rows_with_their_whole_documents(client: Client) -> None:
    text = await read(client, "/search?q=dns.question.name:*.example&last=24h")
    assert text.count('class="event"') == 1
    assert "<dt>dns.answers.data</dt><dd>203.0.113.66</dd>" in text


async def test_search_asks_nothing_before_it_is_asked(client: Client) -> None:
    text = await read(client, "/search")
    assert 'class="event"' not in text
    assert '<option value="24h" selected>' in text


@pytest.mark.parametrize("query", ["q=(", "q=x&kind=lease", "q=x&last=1h&since=2026-09-01"])
async def test_a_search_that_cannot_be_understood_keeps_what_was_typed(client: Client, query: str) -> None:
    text = await read(client, f"/search?{query}", status=400)
    assert 'role="alert"' in text


@pytest.mark.parametrize("text", sample.HOSTILE)
async def test_hostile_text_is_escaped_and_made_visible(client: Client, store: Store, text: str) -> None:
    event = sample.event(50, sample.NOW, Dataset.HTTP, url_domain=text, user_agent_original=text, file_name=text)
    (outcome,) = await store.create([event])
    assert outcome.created
    shown = await read(client, "/search?q=event.id:e000050")
    assert "<img src=x" not in shown
    assert "window.owned=1</script>" not in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


def test_only_what_looks_like_a_technique_becomes_a_link() -> None:
    alert = sample.alert(1, technique_id=("T1021.002", "javascript:x"), technique_name=("SMB",))
    assert techniques(alert) == [
        ("T1021.002 SMB", "https://attack.mitre.org/techniques/T1021/002"),
        ("javascript:x", None),
    ]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("multipart/form-data", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded; charset=nope", 400),
        ("application/x-www-form-urlencoded; charset=ascii", 400),
    ],
)
async def test_a_form_that_cannot_be_read_is_the_senders_fault(
    client: Client, kind: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.post("/alerts/a0001/state", data=b"state=\xff", headers={"Content-Type": kind})
    assert answer.status == status
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def evidence(number: int, tree: str | None, **fields: object) -> Event:
    given: dict[str, object] = {
        "rule_id": "D24",
        "rule_name": "Known bad address 203.0.113.66",
        "network_community_id": sample.COMMUNITY,
        "evidence_id": "20260901T115500-0123456789ab",
        "evidence_packets": 3,
        "evidence_bytes": 1234,
        "evidence_sha256": "ab" * 32,
        "evidence_public_key": "k" * 43 + "=",
        "evidence_tree": tree,
    }
    return sample.event(number, sample.NOW - timedelta(minutes=2), Dataset.EVIDENCE, **(given | fields))


def tree_of(text: str) -> str:
    fields = [["http.user_agent", "User-Agent", text], [text, text, text]]
    packet = {"time": text, "bytes": 200, "layers": [{"name": text, "fields": fields}]}
    return json.dumps({"packets": [packet], "left_out": {"fields": 7, "packets": 1}})


async def test_an_alert_shows_the_evidence_of_its_signals(client: Client, store: Store) -> None:
    await store.create([evidence(60, tree_of("curl/8")), evidence(61, None, rule_id="D99", evidence_id="other")])
    text = await read(client, "/alerts/a0001")
    assert "<dt>User-Agent</dt><dd>curl/8</dd>" in text
    assert "20260901T115500-0123456789ab" in text
    assert "kept at the school by agent" in text
    assert "other" not in re.findall(r"<code>(\w+)</code>", text)
    assert "evidence.tree" not in text, "not among the other traffic"


async def test_evidence_that_could_not_be_decoded_says_why(client: Client, store: Store) -> None:
    await store.create([evidence(60, None, evidence_fault="decoding took more than 10 s and was ended")])
    assert "Decoding took more than 10 s and was ended." in await read(client, "/alerts/a0001")


@pytest.mark.parametrize("tree", ["", "[]", "{", '{"packets":[{"time":1}]}', '{"packets":7,"left_out":{}}'])
async def test_a_tree_of_another_shape_is_named_and_not_shown(client: Client, store: Store, tree: str) -> None:
    await store.create([evidence(60, tree)])
    assert "cannot be read" in await read(client, "/alerts/a0001")


@pytest.mark.parametrize("text", sample.HOSTILE)
async def test_text_in_evidence_is_inert(client: Client, store: Store, text: str) -> None:
    await store.create([evidence(60, tree_of(text), evidence_id=text, evidence_fault=text, evidence_public_key=text)])
    shown = await read(client, "/alerts/a0001")
    assert "<img src=x" not in shown
    assert "window.owned=1</script>" not in shown
    assert not re.search("<(?:svg|iframe|meta http-equiv=refresh|style>|form action=//|base|details open)", shown)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


RULE = {"rule": "D24", "school": "00AA00", "until": "2026-10-01", "reason": "<b>known</b>"}


async def test_a_tuning_rule_is_tried_added_and_ended_on_its_page(client: Client, store: Store) -> None:
    text = await read(client, "/tuning?rule=D24&school=00AA00")
    assert 'name="rule" value="D24"' in text
    tried = await client.post("/tuning", data=RULE | {"do": "preview"})
    assert re.search(r"<strong>\d+</strong> of the \d+ alerts", await tried.text())
    assert await sample_rows(store, Kind.TUNING) == []
    added = await client.post("/tuning", data=RULE | {"do": "add"})
    text = await added.text()
    assert "&lt;b&gt;known&lt;/b&gt;" in text
    (row,) = await sample_rows(store, Kind.TUNING)
    ended = await client.post(f"/tuning/{row['id']}/end", data={"reason": "gone"})
    assert "ended by console" in await ended.text()


async def test_a_rule_that_cannot_be_is_answered_with_the_form_and_the_reason(client: Client) -> None:
    answer = await client.post("/tuning", data=RULE | {"until": "2030-01-01", "do": "add"})
    text = await answer.text()
    assert (answer.status, 'role="alert"' in text, "at most a year ahead" in text) == (422, True, True)
    assert 'name="school" value="00AA00"' in text


async def test_an_alert_is_snoozed_and_woken_on_its_page(client: Client) -> None:
    answer = await client.post("/alerts/a0001/snooze", data={"hours": "24", "reason": "known"})
    assert "Snoozed until" in await answer.text()
    answer = await client.post("/alerts/a0001/snooze", data={"hours": "0"})
    assert "Snoozed until" not in await answer.text()
    assert (await client.post("/alerts/a0001/snooze", data={"hours": "x"})).status == 400
    assert (await client.post("/alerts/none/snooze", data={"hours": "4", "reason": "known"})).status == 404


async def sample_rows(store: Store, kind: Kind) -> list[dict[str, object]]:
    return (await store.search(Search(kind, All(), SECTOR))).rows
