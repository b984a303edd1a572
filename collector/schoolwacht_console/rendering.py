"""Templates: escaped, strict about what is undefined, and inert about what the network says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from schoolwacht_collector.records import AlertState, Severity
from schoolwacht_console.headline import ends, headline, size
from schoolwacht_console.inert import inert
from schoolwacht_console.moments import ago, iso


def environment() -> Environment:
    """The console's templates. Whatever a template prints goes through :func:`inert` and HTML escaping."""
    made = Environment(
        loader=PackageLoader("schoolwacht_console", "pages/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_inert_unless_markup,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "clock": clock,
        "iso": lambda value: iso(as_moment(value)),
        "ago": ago,
        "size": size,
        "number": number,
        "headline": headline,
        "ends": ends,
        "value": value_text,
        "query": quoted,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    made.globals |= {"link": link, "severities": tuple(Severity), "states": tuple(AlertState)}
    return made


def page(templates: Environment, name: str, context: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """The answer with the page ``name`` in it."""
    text = templates.get_template(name).render(context)
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def link(path: str, **parameters: object) -> str:
    """``path`` with the parameters that are set, percent-encoded."""
    given = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def quoted(value: object) -> str:
    r"""A value as a phrase of the query language: in quotes, with ``\\`` and ``"`` escaped."""
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_moment(value: datetime | str) -> datetime:
    """A time of a record (datetime) or of a row (ISO 8601 text)."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def clock(value: datetime | str) -> str:
    """``2026-09-01 08:30:12`` in UTC."""
    return as_moment(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def number(value: int) -> str:
    """Thousands apart by a thin blank, which the template's own text may hold."""
    return Markup(f"{value:,}".replace(",", "\u202f"))  # noqa: S704 - digits and blanks only


def value_text(value: object) -> str:
    """A field's value on one line: lists with commas, yes and no, flattened objects as pairs."""
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(value_text(item) for item in value)
        case dict():
            return ", ".join(f"{name}: {value_text(item)}" for name, item in value.items())
    return str(value)


def _inert_unless_markup(value: Any) -> Any:
    if value is None:
        return ""
    return inert(value) if isinstance(value, str) and not isinstance(value, Markup) else value
