"""The files of sources, fetched by us and not by suricata-update: bounded, with checksums, pins compared.

An offline mirror is a ``file://`` address; then nothing leaves this machine. Limits: 256 MiB a source, 60 s without a
byte; no redirect from https to anything else.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from schoolwacht_collector.rulebook.errors import RulebookError
from schoolwacht_collector.rulebook.sources import Source

SIZE_MAX = 256 << 20
_SECONDS = 60
_CHUNK = 1 << 20


class Fetched(NamedTuple):
    """A source's file on this machine, and its SHA-256."""

    source: Source
    path: Path
    sha256: str


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"leads to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(source: Source, directory: Path) -> Fetched:
    """Fetch a source into a directory. Raises RulebookError: no answer, too large, or not what the pin says."""
    name = Path(urlsplit(source.url).path).name
    if not name.endswith((".rules", ".tar.gz", ".tgz", ".zip")):
        raise RulebookError("is no .rules, .tar.gz or .zip", path=source.url)
    path = directory / f"{source.name.replace('/', '_')}-{name}"
    digest = hashlib.sha256()
    opener = urllib.request.build_opener(_OnlyHttps)
    try:
        with opener.open(source.url, timeout=_SECONDS) as answer, path.open("wb") as file:
            size = 0
            while chunk := answer.read(_CHUNK):
                size += len(chunk)
                if size > SIZE_MAX:
                    raise RulebookError(f"is larger than {SIZE_MAX >> 20} MiB", path=source.url)
                digest.update(chunk)
                file.write(chunk)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise RulebookError(f"source {source.name} cannot be fetched: {reason}", path=source.url) from error
    found = digest.hexdigest()
    if source.sha256 and found != source.sha256:
        raise RulebookError(
            f"source {source.name} has the SHA-256 {found}, not the pinned {source.sha256}: look at what changed, then"
            " change the pin",
            path=source.url,
        )
    return Fetched(source, path, found)
