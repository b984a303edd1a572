from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from schoolwacht.config import FILE_MAX, load, parse, secret
from schoolwacht.errors import ConfigError


class Tree(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a test."""

    number: Annotated[int, Meta(description="A number.")] = 0


def test_a_file_of_the_greatest_size_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"number = 7\n".ljust(FILE_MAX, b"#"))
    assert load(path, Tree).number == 7
    path.write_bytes(b"number = 7\n".ljust(FILE_MAX + 1, b"#"))
    with pytest.raises(ConfigError, match=r"settings\.toml: is larger than 1 MiB"):
        load(path, Tree)


def test_a_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text("number = 7\n"))
    writer.start()
    assert load(path, Tree).number == 7
    writer.join()


def test_a_secret_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_SECRET", raising=False)
    path = tmp_path / "key"
    path.touch(mode=0o600)
    os.truncate(path, FILE_MAX + 1)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        secret("SOME_SECRET", file=path, setting="key_file")


@pytest.mark.parametrize("text", ["a = " + "[" * 20_000, "number = " + "1" * 5000, "number = ", "\0"])
def test_text_that_is_no_toml_is_an_error_of_the_configuration(text: str) -> None:
    with pytest.raises(ConfigError, match="no TOML"):
        parse(text, Tree)
