"""``schoolwacht-agent evidence list | show | export``: the kept evidence, on the machine where it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from schoolwacht.errors import SchoolwachtError
from schoolwacht_agent.config import Settings
from schoolwacht_agent.evidence.open import open_store
from schoolwacht_agent.evidence.store import Manifest, Store, genuine
from schoolwacht_agent.evidence.tree import Tree


class Shown(msgspec.Struct, frozen=True):
    """A piece of evidence. ``problem`` says what is wrong with hash or signature, empty if they hold."""

    manifest: Manifest
    problem: str
    tree: Tree | None


def pieces(settings: Settings) -> Iterator[Manifest]:
    """What is kept, oldest first; a manifest that cannot be read is left out."""
    store = _store(settings)
    for name in store.ids():
        manifest = store.manifest(name)
        if manifest is not None:
            yield manifest


def show(settings: Settings, id: str) -> Shown:  # noqa: A002 - the field's name everywhere
    """One piece, checked. Raises SchoolwachtError if there is none of that id."""
    store = _store(settings)
    manifest = _manifest(store, id)
    tree = store.tree(id)
    return Shown(manifest, _problem(store, manifest), msgspec.json.decode(tree, type=Tree) if tree else None)


def export(settings: Settings, id: str, directory: Path) -> Path:  # noqa: A002 - the field's name everywhere
    """Copy capture file and manifest into a directory, checked. Returns the capture file.

    Raises SchoolwachtError if there is no such piece, if hash or signature are wrong, or if a file is there already.
    """
    store = _store(settings)
    manifest = _manifest(store, id)
    if problem := _problem(store, manifest):
        raise SchoolwachtError(problem, field=id)
    capture = directory / f"{id}.pcap"
    for path, data in (
        (capture, store.pcap(id)),
        (directory / f"{id}.json", msgspec.json.format(msgspec.json.encode(manifest))),
    ):
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
        except FileExistsError as error:
            raise SchoolwachtError("is there already; name another directory", path=str(path)) from error
    return capture


def line(manifest: Manifest) -> str:
    """A piece as one line for people."""
    moment = f"{manifest.signal_time or manifest.taken:%Y-%m-%d %H:%M:%SZ}"
    ends = " > ".join(end for end in (manifest.source, manifest.destination) if end)
    what = f"{manifest.rule_id or '-'} {manifest.rule_name or ''}".strip()
    size = f"{manifest.packets} packets, {manifest.bytes:,} bytes"
    fault = f" ({manifest.fault})" if manifest.fault else ""
    return _plain(f"{manifest.id}  {moment}  {what}  {ends}  {size}{fault}")


def lines(shown: Shown) -> Iterator[str]:
    """A piece with its decoded packets, for people."""
    manifest = shown.manifest
    yield line(manifest)
    yield f"sha256     {manifest.sha256}"
    yield f"signature  {shown.problem or 'right'}; Ed25519 key {manifest.public_key} of agent {manifest.agent}"
    if shown.tree is None:
        return
    yield "packets    as they were sent:"
    for packet in shown.tree.packets:
        yield f"{packet.time}  {packet.bytes} bytes"
        for layer in packet.layers:
            yield _plain(f"  {layer.name}")
            for name, label, value in layer.fields:
                yield _plain(f"    {label}: {value}  [{name}]")
    left = shown.tree.left_out
    yield f"{left.fields} fields and {left.packets} packets were not sent"


def _store(settings: Settings) -> Store:
    return open_store(settings.evidence, Path(settings.agent.state))


def _manifest(store: Store, id: str) -> Manifest:  # noqa: A002 - the field's name everywhere
    manifest = store.manifest(id)
    if manifest is None:
        raise SchoolwachtError("there is no evidence of that id; `schoolwacht-agent evidence list` names all", field=id)
    return manifest


def _problem(store: Store, manifest: Manifest) -> str:
    try:
        pcap = store.pcap(manifest.id)
    except OSError as error:
        return f"the capture file cannot be read: {error.strerror}"
    return genuine(manifest, pcap)


def _plain(text: str) -> str:
    """Text from the network in escapes where a terminal would act on it."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
