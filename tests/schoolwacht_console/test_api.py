"""The API: what it answers, and that its own description of itself is true."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from schoolwacht_console import openapi
from schoolwacht_console.api import ENDPOINTS, PREFIX
from tests.schoolwacht_console.conftest import Client

DOCUMENT = openapi.document()
TUNING = {"rule": "D24", "until": "2026-10-01T00:00:00Z", "reason": "known"}
TEST = {
    "name": "Pentest",
    "since": "2026-09-01T00:00:00Z",
    "until": "2026-09-02T00:00:00Z",
    "sources": ["203.0.113.66"],
    "expected": ["D24"],
}
#: A request for each call in the description that it should answer with 200.
CALLS: dict[tuple[str, str], tuple[str, dict[str, str], Any]] = {
    ("get", "/search"): ("/search", {"q": "source.ip:10.21.0.0/16", "kind": "event", "since": "2026-09-01"}, None),
    ("get", "/alerts"): ("/alerts", {"state": "open", "limit": "2"}, None),
    ("get", "/alerts/{id}"): ("/alerts/a0001", {}, None),
    ("post", "/alerts/{id}/state"): ("/alerts/a0001/state", {}, {"state": "acknowledged", "by": "anna"}),
    ("post", "/alerts/{id}/snooze"): ("/alerts/a0001/snooze", {}, {"until": "2026-09-02T00:00:00Z", "reason": "known"}),
    ("get", "/tuning"): ("/tuning", {"in_force": "yes"}, None),
    ("post", "/tuning"): ("/tuning", {}, TUNING),
    ("post", "/tuning/preview"): ("/tuning/preview", {}, TUNING),
    ("post", "/tuning/{id}/end"): ("/tuning/KNOWN/end", {}, {"reason": "replaced"}),
    ("get", "/tests"): ("/tests", {}, None),
    ("post", "/tests"): ("/tests", {}, TEST),
    ("get", "/tests/{id}/report"): ("/tests/KNOWN/report", {}, None),
    ("get", "/agents"): ("/agents", {}, None),
    ("get", "/agents/{id}/ledger"): ("/agents/school-00aa00/ledger", {}, None),
    ("post", "/agents/{id}/ledger/accept"): ("/agents/school-00aa00/ledger/accept", {}, {"reason": "disk replaced"}),
    ("get", "/seen"): ("/seen", {"value": "evil.example"}, None),
    ("get", "/indicators"): ("/indicators", {}, None),
    ("get", "/indicators/{id}"): ("/indicators/KNOWN", {}, None),
    ("post", "/indicators"): ("/indicators", {}, {"indicators": [{"value": "evil.example"}]}),
    ("get", "/openapi.json"): ("/openapi.json", {}, None),
}


async def get(client: Client, path: str, **parameters: str) -> Any:
    answer = await client.get(f"{PREFIX}{path}", params=parameters)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def problem(client: Client, path: str, **parameters: str) -> Any:
    answer = await client.get(f"{PREFIX}{path}", params=parameters)
    assert answer.content_type == "application/problem+json"
    body = await answer.json()
    check({"$ref": "#/components/schemas/Problem"}, body)
    return body


def check(schema: dict[str, Any], value: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def test_the_description_is_valid_and_names_every_call_once() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    described = {(method, path) for path, calls in DOCUMENT["paths"].items() for method in calls}
    assert described == {(method, f"{PREFIX}{path}") for method, path in CALLS}
    operations = [call["operationId"] for calls in DOCUMENT["paths"].values() for call in calls.values()]
    assert len(set(operations)) == len(operations)
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


async def known(client: Client, path: str) -> str:
    """The id of an object such as the path asks for, just made."""
    group = path.split("/")[1]
    made = {"indicators": {"indicators": [{"value": "evil.example"}]}, "tuning": TUNING, "tests": TEST}[group]
    answer = await (await client.post(f"{PREFIX}/{group}", json=made)).json()
    return str((answer["indicators"][0] if group == "indicators" else answer)["id"])


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_every_described_call_answers_as_described(client: Client, method: str, path: str) -> None:
    real, parameters, body = CALLS[method, path]
    described = DOCUMENT["paths"][f"{PREFIX}{path}"][method]
    if body is not None:
        check(described["requestBody"]["content"]["application/json"]["schema"], body)
    if "KNOWN" in real:
        real = real.replace("KNOWN", await known(client, real))
    answer = await client.request(method, f"{PREFIX}{real}", params=parameters, json=body)
    assert answer.status == 200, await answer.text()
    check(described["responses"]["200"]["content"]["application/json"]["schema"], await answer.json())


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET"], ids=str)
async def test_a_parameter_that_is_not_described_is_refused(client: Client, endpoint: Any) -> None:
    found = await problem(client, endpoint.path.replace("{id}", "a0001"), limitt="3")
    assert (found["status"], found["field"]) == (400, "limitt")


async def test_a_search_is_newest_first_and_pages_without_gap_or_repeat(client: Client) -> None:
    seen: list[str] = []
    after = ""
    while True:
        page = await get(client, "/search", q="", limit="2", **({"after": after} if after else {}))
        seen += [row["event.id"] for row in page["rows"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["e000004", "e000003", "e000002", "e000001"]


async def test_a_search_keeps_to_its_window(client: Client) -> None:
    page = await get(client, "/search", since="2026-09-01T11:52:01Z", until="2026-09-01T11:52:03Z")
    assert [row["event.id"] for row in page["rows"]] == ["e000003", "e000002"]


async def test_signals_are_searched_by_kind(client: Client) -> None:
    page = await get(client, "/search", kind="signal", q="rule.id:D24")
    assert [row["event.id"] for row in page["rows"]] == ["e000011", "e000010"]


async def test_agents_keys_are_found_by_no_call(client: Client) -> None:
    assert "key_hash" not in str(await get(client, "/agents"))
    assert (await problem(client, "/search", kind="agent"))["status"] == 400


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"q": "source.ip:("}, None),
        ({"q": "no.such.field:1"}, "no.such.field"),
        ({"kind": "everything"}, "kind"),
        ({"last": "soon"}, "last"),
        ({"last": "1h", "since": "2026-09-01"}, "last"),
        ({"since": "x"}, "since"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "00000000115000"}, "limit"),
        ({"limit": f"00000000{'1' * 5000}"}, "limit"),
        ({"limit": "²"}, "limit"),
    ],
)
async def test_what_cannot_be_understood_is_a_400_that_names_the_place(
    client: Client, parameters: dict[str, str], field: str | None
) -> None:
    found = await problem(client, "/search", **parameters)
    assert found["status"] == 400
    assert found.get("field") == field


async def test_a_page_of_another_list_is_refused(client: Client) -> None:
    assert (await problem(client, "/alerts", after="nonsense"))["status"] == 400


async def test_alerts_come_gravest_first_and_page_across_severities(client: Client) -> None:
    seen: list[str] = []
    after = ""
    while True:
        page = await get(client, "/alerts", limit="1", **({"after": after} if after else {}))
        seen += [alert["id"] for alert in page["alerts"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["a0002", "a0001", "a0003", "a0005", "a0004"]


async def test_alerts_by_time_come_latest_change_first(client: Client) -> None:
    page = await get(client, "/alerts", order="time")
    assert [alert["id"] for alert in page["alerts"]] == ["a0005", "a0004", "a0001", "a0002", "a0003"]


@pytest.mark.parametrize(
    ("parameters", "ids"),
    [
        ({"state": "closed"}, ["a0004"]),
        ({"severity": "critical"}, ["a0002"]),
        ({"school": "00ac00"}, ["a0003"]),
        ({"school": "kompas"}, ["a0002"]),
        ({"school": "nowhere"}, []),
        ({"board": "41002"}, ["a0003"]),
        ({"q": "rule.id:D01 OR rule.id:D19"}, ["a0002", "a0003"]),
        ({"last": "1h", "state": "open"}, ["a0001"]),
        ({"q": "alert.score:>=55", "board": "41001"}, ["a0002", "a0001"]),
    ],
)
async def test_alerts_are_filtered(client: Client, parameters: dict[str, str], ids: list[str]) -> None:
    page = await get(client, "/alerts", **parameters)
    assert [alert["id"] for alert in page["alerts"]] == ids


async def test_an_alert_comes_with_its_signals_and_what_happened_around_it(client: Client) -> None:
    story = await get(client, "/alerts/a0001")
    assert [row["event.id"] for row in story["signals"]] == ["e000011", "e000010"]
    assert [row["event.id"] for row in story["connections"]] == ["e000002", "e000003"]
    assert [row["event.id"] for row in story["host"]] == ["e000001"]


async def test_an_unknown_alert_is_a_404(client: Client) -> None:
    assert (await problem(client, "/alerts/nobody"))["status"] == 404


async def change(client: Client, id: str, **body: str) -> Any:  # noqa: A002
    answer = await client.post(f"{PREFIX}/alerts/{id}/state", json=body)
    return answer.status, await answer.json()


async def test_a_change_of_state_keeps_who_and_why(client: Client) -> None:
    status, alert = await change(client, "a0001", state="closed", reason=" test ", by="anna")
    assert status == 200
    assert (alert["alert.state"], alert["alert.reason"], alert["alert.changed_by"]) == ("closed", "test", "anna")
    assert alert["alert.changed_at"] == "2026-09-01T12:00:00.000001Z"


@pytest.mark.parametrize(
    ("id", "body", "status"),
    [
        ("a0001", {"state": "closed"}, 400),
        ("a0001", {"state": "closed", "reason": "  "}, 400),
        ("a0001", {"state": "closed", "reason": "\0"}, 400),
        ("a0001", {"state": "closed", "reason": " \u200b\u2060\u3164\u00a0"}, 400),
        ("a0001", {"state": "gone", "reason": "x"}, 400),
        ("a0001", {"state": "closed", "reason": "x" * 1001}, 400),
        ("a0001", {"state": "closed", "reason": "x", "extra": "y"}, 400),
        ("a0004", {"state": "open", "reason": "x"}, 409),
        ("nobody", {"state": "acknowledged"}, 404),
    ],
)
async def test_a_change_that_cannot_be_is_refused(client: Client, id: str, body: dict[str, str], status: int) -> None:  # noqa: A002
    found, answer = await change(client, id, **body)
    assert found == status
    check({"$ref": "#/components/schemas/Problem"}, answer)


async def test_a_form_cannot_be_posted_to_the_api(client: Client) -> None:
    answer = await client.post(f"{PREFIX}/alerts/a0001/state", data={"state": "acknowledged"})
    assert answer.status == 415


async def test_indicators_are_made_normal_and_kept_once(client: Client) -> None:
    body = {"indicators": [{"value": "hxxp://EVIL[.]example"}, {"value": "203.0.113.9", "description": "loader"}]}
    for _ in range(2):
        assert (await client.post(f"{PREFIX}/indicators", json=body)).status == 200
    kept = (await get(client, "/indicators"))["indicators"]
    assert sorted(each["threat.indicator.name"] for each in kept) == ["203.0.113.9", "evil.example"]


async def test_one_bad_indicator_keeps_all_out_and_is_named(client: Client) -> None:
    body = {"indicators": [{"value": "evil.example"}, {"value": "10.0.0.1"}]}
    answer = await client.post(f"{PREFIX}/indicators", json=body)
    assert answer.status == 422
    assert (await answer.json())["field"] == "indicators[1].value"
    assert (await get(client, "/indicators"))["indicators"] == []


async def test_an_indicator_that_a_check_speaks_against_is_left_out_unless_forced_with_a_reason(client: Client) -> None:
    body: dict[str, Any] = {"indicators": [{"value": "google.com"}, {"value": "evil.example"}]}
    answer = await (await client.post(f"{PREFIX}/indicators", json=body)).json()
    assert [each["threat.indicator.name"] for each in answer["indicators"]] == ["evil.example"]
    assert [(each["type"], each["value"]) for each in answer["refused"]] == [("domain", "google.com")]
    assert "warning list" in answer["refused"][0]["reason"]
    unreasoned = await client.post(f"{PREFIX}/indicators", json=body | {"force": True, "reason": " "})
    assert (unreasoned.status, (await unreasoned.json())["field"]) == (400, "reason")
    forced = await client.post(f"{PREFIX}/indicators", json=body | {"force": True, "reason": "exercise", "by": "anna"})
    kept = {each["threat.indicator.name"]: each for each in (await forced.json())["indicators"]}
    assert kept["google.com"]["indicator.forced_by"] == "anna"
    assert "indicator.forced_by" not in kept["evil.example"]


async def test_an_indicators_page_says_where_it_was_seen(client: Client) -> None:
    added = await client.post(f"{PREFIX}/indicators", json={"indicators": [{"value": "evil.example"}]})
    name = (await added.json())["indicators"][0]["id"]
    assert (await get(client, f"/indicators/{name}"))["sightings"] == {}
    assert (await get(client, "/indicators"))["sightings"] == {}
    assert (await client.get(f"{PREFIX}/indicators/none")).status == 404


async def test_a_tuning_rule_is_previewed_added_listed_and_ended(client: Client) -> None:
    tried = await (await client.post(f"{PREFIX}/tuning/preview", json=TUNING)).json()
    assert 0 < tried["hidden"] < tried["alerts"]
    assert (await get(client, "/tuning"))["tunings"] == []
    made = await (await client.post(f"{PREFIX}/tuning", json=TUNING | {"by": "anna"})).json()
    assert [each["tuning.by"] for each in (await get(client, "/tuning", in_force="yes"))["tunings"]] == ["anna"]
    ended = await client.post(f"{PREFIX}/tuning/{made['id']}/end", json={"reason": "gone"})
    assert ended.status == 200
    assert (await get(client, "/tuning", in_force="yes"))["tunings"] == []
    assert len((await get(client, "/tuning", in_force="no"))["tunings"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/tuning", {**TUNING, "rule": None}, 422, "rule"),
        ("/tuning", {**TUNING, "until": "2030-01-01T00:00:00Z"}, 422, "until"),
        ("/tuning", {**TUNING, "until": "2026-10-01T00:00:00"}, 400, None),
        ("/tuning", {**TUNING, "network": "10.x"}, 422, "network"),
        ("/tuning/none/end", {"reason": "gone"}, 404, None),
        ("/alerts/none/snooze", {"until": "2026-09-02T00:00:00Z", "reason": "known"}, 404, None),
        ("/alerts/a0001/snooze", {"until": "2027-09-02T00:00:00Z", "reason": "known"}, 422, "until"),
        ("/alerts/a0001/snooze", {"until": "2026-09-02T00:00:00Z"}, 422, "reason"),
        ("/alerts/a0004/snooze", {"until": "2026-09-02T00:00:00Z", "reason": "known"}, 409, None),
        ("/tests", {**TEST, "sources": []}, 422, "sources"),
    ],
)
async def test_what_cannot_be_hidden_is_refused_with_its_field(
    client: Client, path: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = await client.post(f"{PREFIX}{path}", json=body)
    assert (answer.status, (await answer.json()).get("field")) == (status, field)
