"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from schoolwacht.config import settings
from schoolwacht_agent.config import Settings as AgentSettings
from schoolwacht_collector.config import Settings as CollectorSettings
from tests.bench import capacity
from tests.parts import ROOT

DOCS = ROOT / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_tables_are_what_the_code_says() -> None:
    assert generator().stale_pages() == []


def test_the_capacity_is_what_the_model_says() -> None:
    page = (DOCS / "capacity.md").read_text("utf-8")

    assert capacity.inputs_table() in page, "python -m tests.bench.capacity"
    assert capacity.needs_table() in page, "python -m tests.bench.capacity"


@pytest.mark.parametrize("tree", [AgentSettings, CollectorSettings])
def test_every_setting_has_one_sentence_of_description(tree: type[AgentSettings | CollectorSettings]) -> None:
    for item in settings(tree):
        assert item.description.endswith("."), item.name
        assert 10 < len(item.description) < 200, item.name


@pytest.mark.parametrize("page", [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"], ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: object) -> None:
    path = DOCS.parent / str(page)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
