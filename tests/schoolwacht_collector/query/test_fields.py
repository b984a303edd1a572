from __future__ import annotations

import msgspec
import pytest

from schoolwacht.errors import QueryError
from schoolwacht.event import Event
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.query.fields import FIELDS, Type, field, of_kind, suggestions
from schoolwacht_collector.records import RECORDS


def test_every_field_of_the_event_and_of_every_record_is_in_the_table() -> None:
    structs: dict[Kind, type[msgspec.Struct]] = {Kind.EVENT: Event, Kind.SIGNAL: Event, **RECORDS}

    for kind, struct in structs.items():
        names = {item.encode_name for item in msgspec.structs.fields(struct)}
        assert {known.name for known in of_kind(kind)} == names


@pytest.mark.parametrize(
    ("name", "type_", "many"),
    [
        ("@timestamp", Type.DATE, False),
        ("event.dataset", Type.KEYWORD, False),
        ("source.ip", Type.IP, False),
        ("related.ip", Type.IP, True),
        ("source.port", Type.LONG, False),
        ("tags", Type.KEYWORD, True),
        ("threat.technique.id", Type.KEYWORD, True),
        ("tls.resumed", Type.BOOLEAN, False),
        ("health.value", Type.DOUBLE, False),
        ("nsm.detail", Type.FLATTENED, False),
        ("alert.state", Type.KEYWORD, False),
        ("alert.opened", Type.DATE, False),
        ("agent.schools", Type.OPAQUE, True),
        ("delivery.body", Type.OPAQUE, False),
    ],
)
def test_a_field_has_the_type_of_its_struct(name: str, type_: Type, many: bool) -> None:
    assert (field(name).type, field(name).many) == (type_, many)


def test_a_value_inside_a_flattened_field_has_a_key() -> None:
    found = field("nsm.detail.a.b")

    assert (found.name, found.key, found.full_name) == ("nsm.detail", "a.b", "nsm.detail.a.b")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("source.pi", "source.ip"),
        ("ip", "source.ip"),
        ("Source.IP", "source.ip"),
        ("dns.question.nam", "dns.question.name"),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest_names(wrong: str, meant: str) -> None:
    assert meant in suggestions(wrong)
    with pytest.raises(QueryError, match=meant) as caught:
        field(wrong)
    assert caught.value.field == wrong


def test_no_field_is_the_parent_of_another() -> None:
    """Elasticsearch cannot map a name as a value and as an object."""
    assert [name for name in FIELDS if any(other.startswith(f"{name}.") for other in FIELDS)] == []
