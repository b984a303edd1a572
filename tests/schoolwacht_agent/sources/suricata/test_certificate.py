"""Hash and alternative names of a certificate in base64."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.suricata.certificate import seen
from tests.parts import program


@pytest.fixture(scope="module")
def der(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A certificate that OpenSSL made, with names of every kind."""
    openssl = program("openssl", "openssl")
    directory: Path = tmp_path_factory.mktemp("certificate")
    names = (
        "DNS:Rooster.Example,DNS:*.rooster.example,IP:192.0.2.1,IP:2001:db8::1,email:a@b.example,URI:http://c.example/"
    )
    command: list[str | Path] = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    command += ["-subj", "/CN=rooster.example", "-addext", f"subjectAltName=critical,{names}"]
    command += ["-outform", "DER", "-out", directory / "c.der", "-keyout", directory / "k.pem"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return (directory / "c.der").read_bytes()


def test_hash_and_names_of_a_real_certificate(der: bytes) -> None:
    found = seen(base64.b64encode(der).decode())
    assert found.sha256 == hashlib.sha256(der).hexdigest()
    assert found.alternative_names == [
        "rooster.example",
        "*.rooster.example",
        "192.0.2.1",
        "2001:db8::1",
        "a@b.example",
        "http://c.example/",
    ]


def test_a_certificate_that_is_cut_off_has_its_hash_only(der: bytes) -> None:
    at = der.find(bytes.fromhex("0603551d11")) + 20
    assert seen(base64.b64encode(der[:at]).decode()).alternative_names is None


def test_what_is_no_base64_has_nothing() -> None:
    assert seen("é") == (None, None)


@given(st.binary(max_size=60))
def test_any_bytes_behind_the_identifier_are_survived(rest: bytes) -> None:
    seen(base64.b64encode(bytes.fromhex("0603551d11") + rest).decode())
