"""TLS of the intake: what it offers, what it refuses of its own certificate, and whose a client's certificate is.

Promise: TLS 1.3, and 1.2 only with ECDHE and an AEAD cipher (NCSC-NL 2025: *good* and *sufficient*). A certificate that
the guidelines call insufficient (RSA below 3,072 bits, SHA-1, MD5) or that does not fit its key stops the start. With
``intake.client_ca`` nobody gets as far as HTTP without a certificate of that authority, and a batch is taken only if
the name in the certificate is that of the agent whose key delivers it. Limits: no revocation lists; an agent is kept
out by ``schoolwacht-collector disable``. :meth:`ServerTls.reload` takes up new certificate, key and authorities;
an authority that was taken out of the file is trusted until the next start.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from schoolwacht.errors import ConfigError
from schoolwacht_collector.config import IntakeSettings

#: Of TLS 1.2. TLS 1.3 has AEAD and forward secrecy whatever is chosen.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_RSA_BITS = 3072
_CURVE_BITS = 224
_BROKEN = frozenset({"sha1", "md5"})
_SOON = timedelta(days=14)
_logger = logging.getLogger(__name__)


class ServerTls:
    """The TLS of one listener. ``context`` goes into the listener; it stays the same object.

    Args:
        settings: certificate, key and (for mutual TLS) client_ca.

    Raises ConfigError naming the file and the setting.
    """

    def __init__(self, settings: IntakeSettings, *, path: str = "configuration") -> None:
        self._settings = settings
        self._path = path
        #: Whether clients show a certificate.
        self.mutual = bool(settings.client_ca)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_ciphers(CIPHERS)
        self.context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
        self.context.set_alpn_protocols(["http/1.1"])
        # Agents keep their connections and resume none: a ticket would only outlive the certificate that it stands for.
        self.context.num_tickets = 0
        self.context.options |= ssl.OP_NO_TICKET
        if self.mutual:
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.reload()

    def reload(self) -> None:
        """Read the files again, for connections from now on. Raises ConfigError; then the ones from before stay."""
        settings = self._settings
        self._check(settings.certificate)
        # Tried on a context of its own first: a chain without its key would leave the listener with neither.
        for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
            self._load(context)

    def _load(self, context: ssl.SSLContext) -> None:
        settings = self._settings
        try:
            context.load_cert_chain(settings.certificate, settings.key, password=self._no_password)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{settings.key} is no readable key of {settings.certificate}: {error}",
                path=self._path,
                field="intake.key",
            ) from error
        if not self.mutual:
            return
        try:
            context.load_verify_locations(cafile=settings.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{settings.client_ca} is no readable PEM file of certificates: {error}",
                path=self._path,
                field="intake.client_ca",
            ) from error

    def _no_password(self) -> str:
        raise ConfigError(
            f"{self._settings.key} is encrypted: give it without a password, readable for the collector only",
            path=self._path,
            field="intake.key",
        )

    def _check(self, file: str) -> None:
        try:
            certificate = x509.load_pem_x509_certificates(Path(file).read_bytes())[0]
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{file} is no readable PEM file of certificates: {error}",
                path=self._path,
                field="intake.certificate",
            ) from error
        if fault := weakness(certificate):
            raise ConfigError(f"{file} {fault}", path=self._path, field="intake.certificate")
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        if left < _SOON:
            word = "has expired: agents refuse it" if left < timedelta(0) else "expires soon"
            _logger.warning("%s %s (%s)", file, word, certificate.not_valid_after_utc.isoformat())


def weakness(certificate: x509.Certificate) -> str | None:
    """What makes a certificate insufficient (NCSC-NL, guidelines for TLS 2025), or None."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _RSA_BITS:
            return f"has an RSA key of {key.key_size} bits: use ECDSA with P-256, or RSA from {_RSA_BITS} bits on"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.key_size <= _CURVE_BITS:
            return f"has a key on {key.curve.name}: use P-256 or P-384"
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        return "has a key of an unusual kind: use ECDSA with P-256"
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name in _BROKEN:
        return f"is signed with {algorithm.name.upper()}: use SHA-256"
    return None


def names_of(certificate: Mapping[str, Any]) -> frozenset[str]:
    """Whose a verified client certificate is, as ``ssl.SSLSocket.getpeercert`` gives it.

    Its DNS names (``subjectAltName``); its common names only if it has none (RFC 6125).
    """
    names = frozenset(value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS")
    return names or frozenset(
        value for group in certificate.get("subject", ()) for kind, value in group if kind == "commonName"
    )
