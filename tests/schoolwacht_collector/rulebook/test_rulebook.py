"""The rule book over local sources: the real suricata-update and the real Suricata."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from schoolwacht.errors import ConfigError
from schoolwacht_collector import cli
from schoolwacht_collector.rulebook.errors import RulebookError
from schoolwacht_collector.rulebook.fetch import fetch
from schoolwacht_collector.rulebook.rules import difference, in_words, rules_of
from schoolwacht_collector.rulebook.settings import RulebookSettings, SourceSettings
from schoolwacht_collector.rulebook.shelf import MANIFEST, Manifest, Shelf, pack, unpack
from schoolwacht_collector.rulebook.sources import Source, chosen
from schoolwacht_collector.rulebook.update import Update, check, compare, update
from tests import parts
from tests.schoolwacht_collector.made import NOW


def rule(sid: int, *, rev: int = 1, message: str = "ET MALWARE Loader", on: bool = True, content: str = "/evil") -> str:
    text = (
        f'alert http any any -> any any (msg:"{message} {sid}"; flow:established,to_server; http.uri; '
        f'content:"{content}"; classtype:trojan-activity; sid:{sid}; rev:{rev};)'
    )
    return text if on else f"# {text}"


def source(tmp_path: Path, *rules: str, name: str = "et/open", sha256: str = "") -> SourceSettings:
    """A known source whose mirror is a file: an archive as the publisher has it."""
    path = tmp_path / f"{name.replace('/', '-')}.tar.gz"
    classes = b"config classification: trojan-activity,A Network Trojan was detected, 1\n"
    with tarfile.open(path, "w:gz") as tar:
        for member, data in (("rules/a.rules", "\n".join(rules).encode()), ("rules/classification.config", classes)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return SourceSettings(name=name, url=path.as_uri(), sha256=sha256)


def settings(*sources: SourceSettings, **more: Any) -> RulebookSettings:
    return RulebookSettings(sources=sources, suricata=(str(parts.suricata()),), **more)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def made(shelf: Shelf, given: RulebookSettings, **more: Any) -> Update:
    return update(given, shelf, now=NOW, **more)


def test_a_book_holds_the_sources_rules_and_our_own_with_licence_checksum_and_version(
    tmp_path: Path, shelf: Shelf
) -> None:
    given = source(tmp_path, rule(3000001), rule(3000002, on=False))
    done = made(shelf, settings(given))
    manifest = shelf.current()
    assert manifest == done.manifest
    files = shelf.files(done.manifest.version)
    assert 'msg:"ET MALWARE Loader 3000001"' in files["sources.rules"].decode()
    assert "d16-log4shell.rules" in files
    assert "SURICATA" not in files["sources.rules"].decode()
    (origin,) = done.manifest.sources
    archive = Path(given.url.removeprefix("file://")).read_bytes()
    assert (origin.name, origin.licence, origin.sha256) == ("et/open", "MIT", hashlib.sha256(archive).hexdigest())
    assert done.manifest.checked[0].startswith(("7.", "8."))
    assert check(settings(given), shelf, done.manifest) == {done.manifest.checked[0]: []}


def test_the_same_sources_make_the_same_book(tmp_path: Path, shelf: Shelf) -> None:
    given = settings(source(tmp_path, rule(3000001)))
    first = made(shelf, given)
    again = update(given, shelf, now=NOW + timedelta(days=1))
    assert (again.manifest.version, again.changed, again.difference.empty) == (first.manifest.version, False, True)


def test_files_to_enable_disable_and_modify_are_applied(tmp_path: Path, shelf: Shelf) -> None:
    names = {"enable": "3000002\n", "disable": "3000001\n", "modify": '3000003 "/evil" "/worse"\n'}
    for name, text in names.items():
        (tmp_path / f"{name}.conf").write_text(text, encoding="utf-8")
    given = source(tmp_path, rule(3000001), rule(3000002, on=False), rule(3000003))
    done = made(shelf, settings(given, **{name: str(tmp_path / f"{name}.conf") for name in names}))
    rules = rules_of([shelf.files(done.manifest.version)["sources.rules"].decode()])
    assert {sid: rules[sid].on for sid in rules} == {3000001: False, 3000002: True, 3000003: True}
    assert 'content:"/worse"' in rules[3000003].text


def test_one_bad_rule_keeps_the_book_from_the_shelf_and_is_named(tmp_path: Path, shelf: Shelf) -> None:
    made(shelf, settings(source(tmp_path, rule(3000001))))
    before = shelf.current()
    bad = 'alert http any any -> any any (msg:"broken"; nonsense; sid:3000009; rev:1;)'
    with pytest.raises(RulebookError, match=r"does not take the rules: .*nonsense"):
        made(shelf, settings(source(tmp_path, rule(3000001), bad)))
    assert shelf.current() == before


def test_a_number_of_ours_in_a_source_is_refused(tmp_path: Path, shelf: Shelf) -> None:
    with pytest.raises(RulebookError, match=r"numbers that are ours .*9100901"):
        made(shelf, settings(source(tmp_path, rule(9100901))))


def test_a_book_of_less_than_half_is_refused_unless_forced_with_a_reason_that_is_kept(
    tmp_path: Path, shelf: Shelf
) -> None:
    many = [rule(3000000 + number) for number in range(300)]
    first = made(shelf, settings(source(tmp_path, *many)))
    small = settings(source(tmp_path, *many[:20]))
    with pytest.raises(RulebookError, match="less than half of the"):
        made(shelf, small)
    assert shelf.current() == first.manifest
    done = made(shelf, small, forced_by="anna", why="source was split")
    assert (done.manifest.forced_by, done.manifest.forced_why) == ("anna", "source was split")
    assert len(done.difference.removed) == 280
    assert len(compare(shelf, first.manifest.version, done.manifest.version).removed) == 280


def test_a_dry_run_says_what_would_change_and_changes_nothing(tmp_path: Path, shelf: Shelf) -> None:
    done = made(shelf, settings(source(tmp_path, rule(3000001))), dry_run=True)
    assert done.changed
    assert shelf.current() is None


def test_our_own_rules_alone_are_a_book(shelf: Shelf) -> None:
    done = made(shelf, settings())
    assert done.manifest.sources == ()
    assert done.manifest.on > 10


@pytest.mark.parametrize(
    ("given", "accepted", "fault"),
    [
        (
            {"name": "ptresearch/attackdetection", "url": "https://a.example/a.rules"},
            (),
            "proprietary.* not for passing on",
        ),
        (
            {"name": "x", "url": "https://a.example/a.rules", "licence": "Elastic-2.0"},
            ("Elastic-2.0",),
            "cannot be used",
        ),
        ({"name": "x", "url": "https://a.example/a.rules", "licence": "GPL-2.0-only"}, (), "accept_licences"),
        ({"name": "x", "url": "https://a.example/a.rules"}, (), "say its licence"),
        ({"name": "x", "url": "http://a.example/a.rules", "licence": "MIT"}, (), "https:// or file://"),
        ({"name": "et/open", "licence": "CC0-1.0"}, (), "is under MIT"),
    ],
)
def test_a_source_that_may_not_be_used_is_refused_with_the_reason(
    given: dict[str, str], accepted: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        chosen(RulebookSettings(sources=(SourceSettings(**given),), accept_licences=accepted), "7.0.10")


def test_a_licence_that_was_accepted_is_taken_and_the_version_stands_in_the_address() -> None:
    gpl = SourceSettings(name="x", url="https://a.example/%(version)s/a.rules", licence="GPL-2.0-only")
    found = chosen(RulebookSettings(sources=(gpl,), accept_licences=("GPL-2.0-only",)), "7.0.10")
    assert [each.url for each in found] == ["https://a.example/7.0.10/a.rules"]


def test_a_pin_refuses_every_other_content(tmp_path: Path) -> None:
    path = tmp_path / "a.rules"
    path.write_text(rule(1), encoding="utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert fetch(Source("a", path.as_uri(), "MIT", digest), tmp_path / "..").sha256 == digest
    path.write_text(rule(2), encoding="utf-8")
    with pytest.raises(RulebookError, match=f"not the pinned {digest}"):
        fetch(Source("a", path.as_uri(), "MIT", digest), tmp_path)


@pytest.mark.parametrize("url", ["file:///nowhere/a.rules", "https://127.0.0.1:1/a.rules", "file:///etc/passwd"])
def test_a_source_that_cannot_be_fetched_is_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(RulebookError) as caught:
        fetch(Source("a", url, "MIT"), tmp_path)
    assert caught.value.path == url


def test_a_difference_is_told_in_words() -> None:
    old = rules_of(["\n".join([rule(1), rule(2), rule(3, on=False), rule(4)])])
    new = rules_of(
        ["\n".join([rule(2, rev=2, content="/x"), rule(3), rule(4, on=False), rule(5, message="ET INFO Thing")])]
    )
    assert in_words(difference(old, new)) == [
        "1 added (ET INFO: 1)",
        "  5 rev 1: ET INFO Thing 5",
        "1 removed (ET MALWARE: 1)",
        "  1 rev 1: ET MALWARE Loader 1",
        "1 changed (ET MALWARE: 1)",
        "  2 rev 2: ET MALWARE Loader 2",
        "1 switched on (ET MALWARE: 1)",
        "  3 rev 1: ET MALWARE Loader 3",
        "1 switched off (ET MALWARE: 1)",
        "  4 rev 1: ET MALWARE Loader 4",
    ]
    assert in_words(difference(old, old)) == ["nothing changes"]


def test_a_damaged_bundle_is_not_read(shelf: Shelf) -> None:
    manifest = Manifest(version="abc1", created=NOW, rules=0, on=0, files=(), sources=(), checked=())
    shelf.add(manifest, {"a.rules": b"x"}, keep=2)
    bundle = shelf.directory / "abc1" / "bundle.tar.zst"
    bundle.write_bytes(bundle.read_bytes()[:-9])
    with pytest.raises(RulebookError):
        shelf.files("abc1")


@pytest.mark.parametrize("name", ["../a.rules", "a/b.rules", ".hidden"])
def test_a_bundle_that_names_another_place_is_refused(name: str) -> None:
    with pytest.raises(RulebookError, match="no file of a rule book"):
        unpack(pack({name: b"x"}))


def test_a_bundle_that_unpacks_too_large_is_refused() -> None:
    with pytest.raises(RulebookError, match="unpacks to more than"):
        unpack(pack({"a.rules": bytes(3 << 20)}), limit=1 << 20)


def test_the_oldest_books_go_and_the_present_one_stays(shelf: Shelf) -> None:
    for number in range(5):
        manifest = Manifest(version=f"v{number}", created=NOW, rules=0, on=0, files=(), sources=(), checked=())
        shelf.add(manifest, {"a.rules": str(number).encode()}, keep=3)
    assert len(shelf.versions()) == 3
    present = shelf.current()
    assert present is not None
    assert present.version == "v4"
    assert MANIFEST in shelf.files("v4")


def test_the_command_updates_shows_checks_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = source(tmp_path, rule(3000001))
    file = tmp_path / "collector.toml"
    file.write_text(
        f"""[collector]
state = "{tmp_path}"
[rulebook]
suricata = ["{parts.suricata()}"]
[[rulebook.sources]]
name = "et/open"
url = "{first.url}"
""",
        encoding="utf-8",
    )

    def say(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["rulebook", *arguments, "--config", str(file)])
        said = capsys.readouterr()
        return code, said.out, said.err

    assert say("show")[0] == 1
    code, out, _ = say("update")
    assert code == 0
    assert "source et/open: MIT, SHA-256" in out
    source(tmp_path, rule(3000001), rule(3000002))
    assert "1 added" in say("update")[1]
    code, out, _ = say("diff", "--json")
    assert (code, json.loads(out)["added"]) == (0, 1)
    assert "takes all of it" in say("check")[1]
    assert say("update", "--force")[0] != 0


def test_a_sparse_file_in_a_bundle_is_refused() -> None:
    header = bytearray(tarfile.TarInfo("a.rules").tobuf(format=tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"%011o\0" % (1 << 30)  # the real size it claims
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(RulebookError, match="no file of a rule book"):
        unpack(zstandard.compress(bytes(header) + bytes(1024)))


def test_a_line_of_many_brackets_is_judged_at_once() -> None:
    assert rules_of(["alert x " + "()" * 100_000 + "x"]) == {}
