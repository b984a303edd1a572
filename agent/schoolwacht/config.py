"""TOML into one frozen tree of settings, read once; every fault names the file and the setting.

A program declares its tree as frozen msgspec structs whose fields carry a description::

    class Spool(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        max_bytes: Annotated[int, Meta(ge=1 << 20, description="Size of the spool on disk, bytes.")] = 2 << 30

Secrets are not settings: they come from the environment or from a file that only the program can read.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from schoolwacht.errors import ConfigError

#: Bytes of a configuration or secret file at most.
FILE_MAX = 1 << 20

T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r" - at `\$(?P<place>[^`]*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]*)`")


def load(path: Path, tree: type[T]) -> T:
    """Read ``path`` as TOML into ``tree``. Raises ConfigError naming the file, the line or the setting."""
    try:
        text = _text(path)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from error
    return parse(text, tree, path=str(path))


def parse(text: str, tree: type[T], *, path: str = "configuration") -> T:
    """Like :func:`load`, from text; ``path`` is what errors call it."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise ConfigError(f"no TOML: {error}", path=path, line=int(line[1]) if line else None) from error
    except (RecursionError, ValueError) as error:  # nested a thousand deep; a number of thousands of digits
        raise ConfigError(f"no TOML that can be read: {error}", path=path) from error
    try:
        return msgspec.convert(values, tree, str_keys=True)
    except msgspec.ValidationError as error:
        raise _translate(str(error), path) from error


def secret(variable: str, *, file: Path | None, setting: str) -> str:
    """A secret from the environment or, if that is unset, from ``file``, which no other account may read.

    Raises ConfigError that names both ways.
    """
    if value := os.environ.get(variable):
        return value.strip()
    if file is None:
        raise ConfigError(f"needs the environment variable {variable} or a file", field=setting)
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ConfigError(f"others can read it: chmod 600 {file}", path=str(file), field=setting)
        return _text(file).strip()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror} (or set the environment variable {variable})",
            path=str(file),
            field=setting,
        ) from error


def _text(path: Path) -> str:
    """The text of a file or pipe, which must end within :data:`FILE_MAX`. Raises ConfigError, OSError."""
    with path.open("rb") as file:
        data = file.read(FILE_MAX + 1)
    if len(data) > FILE_MAX:
        raise ConfigError(f"is larger than {FILE_MAX >> 20} MiB: this is no configuration", path=str(path))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError("is no UTF-8 text", path=str(path)) from error


class Setting(NamedTuple):
    """One setting, for docs/configuration.md: its dotted name, type and default as text, and its description."""

    name: str
    type: str
    default: str
    description: str


def settings(tree: type[msgspec.Struct], prefix: str = "") -> Iterator[Setting]:
    """Every setting of a tree, depth first, in the order in which they are declared."""
    for item in msgspec.structs.fields(tree):
        name = f"{prefix}{item.encode_name}"
        nested = _struct_in(item.type)
        if nested is not None:
            table, inner = nested
            yield from settings(inner, f"{name}{'[]' if table else ''}.")
            continue
        yield Setting(name, _type_name(item.type), _default(item), _description(item.type))


def _struct_in(annotation: Any) -> tuple[bool, type[msgspec.Struct]] | None:
    info = msgspec.inspect.type_info(annotation)
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    if isinstance(info, msgspec.inspect.StructType):
        return False, info.cls
    if isinstance(info, msgspec.inspect.UnionType):
        for member in info.types:
            if isinstance(member, msgspec.inspect.StructType):
                return False, member.cls
    if isinstance(info, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)) and isinstance(
        info.item_type, msgspec.inspect.StructType
    ):
        return True, info.item_type.cls
    return None


def _description(annotation: Any) -> str:
    info = msgspec.inspect.type_info(annotation)
    if isinstance(info, msgspec.inspect.Metadata):
        return str((info.extra_json_schema or {}).get("description", ""))
    return ""


def _type_name(annotation: Any) -> str:
    schema = msgspec.json.schema(annotation)
    if "enum" in schema or "$ref" in schema:
        definitions: dict[str, dict[str, list[str]]] = schema.get("$defs", {})
        choices = schema.get("enum") or [name for one in definitions.values() for name in one.get("enum", [])]
        return " | ".join(f'"{choice}"' for choice in choices)
    if "anyOf" in schema:
        return " or ".join(str(part.get("type")) for part in schema["anyOf"] if part.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {schema.get('items', {}).get('type', 'string')}"
    return str(schema.get("type", "string"))


def _default(item: msgspec.structs.FieldInfo) -> str:
    value = item.default if item.default_factory is msgspec.NODEFAULT else item.default_factory()
    if value is msgspec.NODEFAULT:
        return "required"
    # JSON and TOML write these values alike.
    return "" if value in (None, "", ()) else msgspec.json.encode(value).decode()


def _translate(message: str, path: str) -> ConfigError:
    place = ""
    if at := _AT.search(message):
        place = at["place"].lstrip(".")
        message = message[: at.start()]
    if unknown := _UNKNOWN.match(message):
        return ConfigError("unknown setting", path=path, field=_join(place, unknown["name"]))
    if missing := _MISSING.match(message):
        return ConfigError("is required", path=path, field=_join(place, missing["name"]))
    return ConfigError(message[:1].lower() + message[1:], path=path, field=place or None)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
