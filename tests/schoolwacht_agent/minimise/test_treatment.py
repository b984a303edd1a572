"""The table against the event and against the sources: nothing is without a treatment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from schoolwacht.event import Event
from schoolwacht_agent import sources
from schoolwacht_agent.minimise.treatment import DETAIL, FIELDS, Treatment

_TEXT = frozenset(
    {
        Treatment.MESSAGE, Treatment.BOUNDED, Treatment.HOST, Treatment.NAME, Treatment.ACCOUNT, Treatment.SERVICE,
        Treatment.COMMON_NAME, Treatment.ISSUER, Treatment.SHARE, Treatment.PIPE, Treatment.FILE, Treatment.URI,
        Treatment.COMMUNITY, Treatment.ARGUMENT, Treatment.URL, Treatment.CONNECTION, Treatment.MAC,
    }
)  # fmt: skip
_LISTS = frozenset({Treatment.HOSTS, Treatment.ADDRESSES, Treatment.ACCOUNTS, Treatment.ANSWERS})


def test_every_field_of_an_event_has_a_treatment() -> None:
    fields = {item.name for item in msgspec.structs.fields(Event)}
    assert fields - FIELDS.keys() == set(), "say in minimise/treatment.py what becomes of these"
    assert FIELDS.keys() - fields == set()


@pytest.mark.parametrize("name", [name for name, rule in FIELDS.items() if rule.event is not Treatment.KEEP])
def test_a_treatment_fits_the_type_of_its_field(name: str) -> None:
    (item,) = (item for item in msgspec.structs.fields(Event) if item.name == name)
    shape = _shape(item.type)
    for treatment in set(FIELDS[name]) - {Treatment.DROP}:
        if treatment in _LISTS:
            assert isinstance(shape, inspect.ListType)
        elif treatment is Treatment.DETAIL:
            assert isinstance(shape, inspect.DictType)
        else:
            assert treatment in _TEXT | {Treatment.ADDRESS}
            assert isinstance(shape, inspect.StrType)


def test_every_field_that_holds_addresses_is_treated_as_such() -> None:
    for item in msgspec.structs.fields(Event):
        if "ip" in item.name.split("_"):
            assert FIELDS[item.name].event in {Treatment.ADDRESS, Treatment.ADDRESSES, Treatment.DROP}, item.name


def test_every_key_of_detail_that_a_source_sets_has_a_treatment() -> None:
    missing = {key for key in _detail_keys(Path(sources.__path__[0])) if key not in DETAIL}
    assert missing == set(), "say in minimise/treatment.py what becomes of these"


def _detail_keys(folder: Path) -> Iterator[str]:
    """Literal keys of the dicts that the sources make nsm.detail of: they all begin with a protocol and a dot."""
    protocols = {key.partition(".")[0] for key in DETAIL}
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            keys = node.keys if isinstance(node, ast.Dict) else [node.slice] if isinstance(node, ast.Subscript) else []
            for key in keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str) and "." in key.value:
                    protocol, _, rest = key.value.partition(".")
                    if protocol in protocols and rest.replace("_", "").replace(".", "").isalpha():
                        yield key.value


def _shape(annotation: object) -> inspect.Type:
    info = inspect.type_info(annotation)
    while True:
        if isinstance(info, inspect.Metadata):
            info = info.type
        elif isinstance(info, inspect.UnionType):
            (info,) = (member for member in info.types if not isinstance(member, inspect.NoneType))
        else:
            return info
