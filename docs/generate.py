"""Write the tables of docs/ that follow from the code: settings and fields.

    python docs/generate.py            rewrite them
    python docs/generate.py --check    exit 1 if they are not what the code says (a test does this too)

A page keeps its own text; a table stands between ``<!-- table NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from schoolwacht.config import settings
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.config import Settings as AgentSettings
from schoolwacht_collector import metrics
from schoolwacht_collector.config import Settings as CollectorSettings
from schoolwacht_collector.index.port import DOCUMENTS
from schoolwacht_collector.query.fields import FIELDS
from schoolwacht_collector.reload import is_live

HERE = Path(__file__).resolve().parent
_TABLE = re.compile(r"(<!-- table (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings_table(tree: type[msgspec.Struct]) -> str:
    """Every setting of a program as a Markdown table."""
    rows = ["| setting | type | default | what it does |", "|---|---|---|---|"]
    for item in settings(tree):
        default = item.default if item.default == "required" else f"`{item.default}`" if item.default else "empty"
        kind = item.type.replace("|", "\\|")
        rows.append(f"| `{item.name}` | {kind} | {default} | {item.description} |")
    return "\n".join(rows) + "\n"


def live_settings() -> str:
    """The settings that a collector exchanges while it runs, and those that need a restart."""
    names = [item.name for item in settings(CollectorSettings)]
    live = ", ".join(f"`{name}`" for name in names if is_live(name))
    fixed = ", ".join(f"`{name}`" for name in names if not is_live(name))
    return f"Live: {live}.\n\nOnly at a restart: {fixed}.\n"


def fields_table() -> str:
    """Every field of events and signals as a Markdown table."""
    rows = ["| field | type |", "|---|---|"]
    for name, item in sorted(FIELDS.items()):
        if item.kinds & DOCUMENTS:
            rows.append(f"| `{name}` | {'list of ' if item.many else ''}{item.type.value} |")
    return "\n".join(rows) + "\n"


def behaviour() -> str:
    """Each behaviour detector: what its module says, and its settings."""
    described = {item.name: item for item in settings(AgentSettings) if item.name.startswith("behave.")}
    parts = []
    for detector in Behaviour(BehaveSettings()).detectors:
        module = sys.modules[type(detector).__module__]
        title, _, text = (module.__doc__ or "").partition("\n")
        table = f"behave.{module.__name__.rpartition('.')[2]}."
        rows = [
            f"| `{name}` | {f'`{item.default}`' if item.default else 'empty'} | {item.description} |"
            for name, item in described.items()
            if name.startswith(table)
        ]
        head = ["| setting | default | what it does |", "|---|---|---|"]
        parts.append("\n".join([f"### {markdown(title.rstrip('.'))}", "", markdown(text.strip()), "", *head, *rows]))
    return "\n\n".join(parts) + "\n"


def markdown(text: str) -> str:
    """A docstring as Markdown: literals, roles, and simple tables as they stand."""
    text = re.sub(r":mod:`\.(\w+)`", r"`\1`", text.replace("``", "`"))
    return re.sub(r"^=+  =+\n.*^=+  =+$", lambda table: f"```\n{table[0]}\n```", text, flags=re.DOTALL | re.MULTILINE)


def metrics_table() -> str:
    """Every metric of a collector as a Markdown table."""
    rows = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    rows += [f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in metrics.described()]
    return "\n".join(rows) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "agent-settings": lambda: settings_table(AgentSettings),
    "collector-settings": lambda: settings_table(CollectorSettings),
    "live-settings": live_settings,
    "fields": fields_table,
    "behaviour": behaviour,
    "metrics": metrics_table,
}


def rewritten(page: str) -> str:
    """The page with each of its tables made anew. Raises KeyError for a table that is not in ``TABLES``."""
    return _TABLE.sub(lambda found: found[1] + TABLES[found["name"]]() + found[3], page)


def stale_pages() -> list[Path]:
    """Pages whose tables are not what the code says."""
    return [path for path in sorted(HERE.glob("*.md")) if rewritten(text := path.read_text("utf-8")) != text]


def main() -> None:
    """Rewrite or check."""
    parser = argparse.ArgumentParser(description="Write the tables of docs/ that follow from the code.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a page is stale")
    stale = stale_pages()
    if parser.parse_args().check:
        for path in stale:
            print(f"{path.name}: its tables are not what the code says: python docs/generate.py", file=sys.stderr)
        sys.exit(1 if stale else 0)
    for path in stale:
        path.write_text(rewritten(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
