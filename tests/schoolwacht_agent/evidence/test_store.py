"""Kept evidence: whole or not there, bounded, checkable by anybody, and exported only when it is right."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.errors import ConfigError
from schoolwacht_agent.evidence.signing import Signer, statement, verify
from schoolwacht_agent.evidence.store import QUARANTINED, Manifest, Store, genuine

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path / "key")


def piece(signer: Signer, pcap: bytes, *, number: int = 0, taken: datetime = NOW) -> Manifest:
    name = f"{taken:%Y%m%dT%H%M%S}-{number:012x}"
    digest = hashlib.sha256(pcap).hexdigest()
    signature = signer.sign(statement("gw", name, taken, digest))
    return Manifest(name, "gw", taken, digest, signature, signer.public, 1, len(pcap))


def test_what_is_put_is_there_and_genuine(tmp_path: Path, signer: Signer) -> None:
    store = Store(tmp_path / "kept", 1 << 20, DAY)
    manifest = piece(signer, b"packets")
    store.put(manifest, b"packets", b"{}")
    assert store.ids() == [manifest.id]
    assert store.manifest(manifest.id) == manifest
    assert (store.pcap(manifest.id), store.tree(manifest.id)) == (b"packets", b"{}")
    assert genuine(manifest, store.pcap(manifest.id)) == ""
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "kept").iterdir()} == {0}


@pytest.mark.parametrize("field", ["agent", "id", "taken", "sha256", "signature", "public_key"])
def test_a_manifest_that_was_changed_is_not_genuine(tmp_path: Path, signer: Signer, field: str) -> None:
    manifest = piece(signer, b"packets")
    other = piece(Signer(tmp_path / "other"), b"other", number=1, taken=NOW - DAY)
    changed = msgspec.structs.replace(manifest, **{field: "x" if field == "agent" else getattr(other, field)})
    assert genuine(changed, b"packets")


def test_packets_that_were_changed_are_not_genuine(signer: Signer) -> None:
    assert "SHA-256" in genuine(piece(signer, b"packets"), b"packetz")


def test_the_signature_can_be_checked_with_the_public_key_alone(tmp_path: Path, signer: Signer) -> None:
    data = statement("gw", "x", NOW, "00")
    again = Signer(tmp_path / "key")
    assert again.public == signer.public
    assert verify(signer.public, again.sign(data), data)
    assert not verify(signer.public, again.sign(data), data + b"x")
    assert not verify("no key", "no signature", data)


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path, signer: Signer) -> None:
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Signer(tmp_path / "key")
    (tmp_path / "key").write_bytes(b"short")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ConfigError, match="no key of 32 bytes"):
        Signer(tmp_path / "key")


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 30_000), min_size=1, max_size=30), bound=st.integers(40_000, 90_000))
def test_the_store_keeps_to_its_bound_and_to_the_newest(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], bound: int
) -> None:
    directory = tmp_path_factory.mktemp("store")
    signer = Signer(directory / "key")
    store = Store(directory / "kept", bound, DAY)
    put = []
    for number, size in enumerate(sizes):
        manifest = piece(signer, bytes(size), number=number)
        store.put(manifest, bytes(size), b"")
        put.append(manifest.id)
        assert store.size() <= bound
    assert store.ids() == put[-len(store.ids()) :]
    assert len(store.ids()) + store.evicted == len(put)


def test_old_evidence_is_erased(tmp_path: Path, signer: Signer) -> None:
    store = Store(tmp_path / "kept", 1 << 20, 3 * DAY)
    old, new = piece(signer, b"old", taken=NOW - 4 * DAY), piece(signer, b"new", taken=NOW - 2 * DAY)
    for manifest in (old, new):
        store.put(manifest, b"x", b"{}")
    store.forget()
    assert store.ids() == [new.id]
    assert store.expired == 1
    assert not [path for path in (tmp_path / "kept").iterdir() if old.id in path.name]


def test_a_piece_of_which_the_manifest_is_not_there_is_no_piece(tmp_path: Path, signer: Signer) -> None:
    store = Store(tmp_path / "kept", 1 << 20, DAY)
    manifest = piece(signer, b"x")
    store.put(manifest, b"x", b"{}")
    (tmp_path / "kept" / f"{manifest.id}.json").unlink()
    assert store.ids() == []
    assert store.manifest(manifest.id) is None


@pytest.mark.parametrize("name", ["../key", "", "x", "20260101T000000-zzzzzzzzzzzz", "/etc/passwd", "a\x00b"])
def test_an_id_is_never_a_path(tmp_path: Path, name: str) -> None:
    assert Store(tmp_path / "kept", 1 << 20, DAY).manifest(name) is None


def test_the_quarantine_keeps_the_newest_few(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept", 1 << 20, DAY)
    for number in range(QUARANTINED + 5):
        store.set_apart(f"20260101T000000-{number:012x}", b"bad", "it hung")
    assert len(list(store.quarantine.glob("*.pcap"))) == QUARANTINED
    assert len(list(store.quarantine.glob("*.reason"))) == QUARANTINED
    assert store.report().quarantined == QUARANTINED


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_disk_that_refuses_the_quarantine_stops_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    Store(tmp_path / "kept", 1 << 20, DAY).set_apart("20260101T000000-000000000000", b"bad", "it hung")
