"""D13: one user renames or deletes hundreds of files of a share within minutes (ATT&CK T1486).

What counts is a file that was there before: renamed, or deleted, with success. Creating, writing and reading do not
count. Nor does a file that the same user had just made: programs that synchronise write a temporary file and rename
it, and office programs delete their temporary files. At ``changes`` within the window it is told. Where it is known
what this user and share usually reach at this hour, it is told from ``times_usual`` that number on (but not below half
of ``changes``), and is low below it. Deleting alone, without renaming or making files, is medium: people tidy up.

Limits: needs SMB events, so Suricata; nothing is seen of an encrypted SMB 3 session. The user is the one of the NTLM
log-in; a Kerberos ticket does not tell it, and the client's address stands in its place.

Memory (measured): 1.4 kB a user and share, 0.26 kB a name in the window beyond the first, 512 of them and 32,768 names;
a session and a tree in it within that, 4,096 of each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.baseline import Baselines
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import KEPT, VALUES, Distinct, Ladder, Rate, Recent

RULE = Rule("D13", "Mass rename or delete on a share", "Major", "High", "T1486", "impact")
#: Names a user made lately, which may be renamed and deleted.
_MADE = 1024
_TEMPORARY_ENDS = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".bak~")
_CREATES = frozenset({"SMB2_COMMAND_CREATE", "SMB1_COMMAND_NT_CREATE_ANDX"})
_DELETES = frozenset({"SMB1_COMMAND_DELETE", "SMB1_COMMAND_DELETE_DIRECTORY"})
_RENAMES = frozenset({"SMB1_COMMAND_RENAME", "SMB1_COMMAND_NT_RENAME"})


class MassChangeSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.mass_change]``."""

    seconds: Annotated[int, Meta(ge=10, le=3600, description="D13: window in seconds.")] = 300
    changes: Annotated[
        int, Meta(ge=20, le=KEPT, description="D13: files renamed or deleted by one user on one share within it.")
    ] = 200
    times_usual: Annotated[
        float, Meta(ge=1, description="D13: or so many times what this user and share usually reach at this hour.")
    ] = 5.0


class _Place(NamedTuple):
    """Whose files and where."""

    user: str | None
    server: str | None
    share: str | None


class _Changes:
    __slots__ = ("created", "ladder", "made", "nameless", "seen")

    def __init__(self) -> None:
        #: Files, those that were renamed with the weight 1.
        self.seen = Distinct()
        self.created = Rate()
        self.ladder = Ladder()
        self.made: OrderedDict[str, None] = OrderedDict()
        self.nameless = 0

    def __len__(self) -> int:
        return len(self.seen) + len(self.created) + len(self.made)

    def make(self, name: str, at: float, window: float) -> None:
        """Remember that the user made this file."""
        self.created.add(at, window)
        self.made[name] = None
        if len(self.made) > _MADE:
            self.made.popitem(last=False)


class MassChange:
    """Detector D13."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.SMB})

    def __init__(self, settings: MassChangeSettings, baselines: Baselines) -> None:
        self._settings = settings
        self._baselines = baselines
        self._users: Recent[tuple[str | None, str | None], list[str | None]] = Recent(4096, lambda: [None])
        self._shares: Recent[tuple[str | None, str | None, str | None], list[str | None]] = Recent(4096, lambda: [None])
        self._places: Recent[_Place, _Changes] = Recent(512, _Changes, VALUES)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this command completes."""
        detail = event.nsm_detail or {}
        connection, session = event.network_community_id, detail.get("smb.session_id")
        if event.user_name is not None:
            self._users.of((connection, session))[0] = event.user_name
        tree = (connection, session, detail.get("smb.tree_id"))
        if event.nsm_smb_share is not None:
            self._shares.of(tree)[0] = event.nsm_smb_share
        if event.nsm_smb_status not in {None, "STATUS_SUCCESS"}:
            return ()
        command = event.nsm_smb_command or ""
        target = detail.get("smb.rename_to")
        renames = target is not None or command in _RENAMES
        deletes = command in _DELETES or detail.get("smb.access") == "delete on close"
        made = command in _CREATES and _makes(event.nsm_smb_filename, detail.get("smb.disposition"))
        if not (renames or deletes or made):
            return ()
        place = _Place(self._user(event, session), event.destination_ip, self._share(tree))
        changes, at = self._places.of(place), event.timestamp.timestamp()
        name = detail.get("smb.rename_from") or event.nsm_smb_filename
        if made:
            if name is not None:
                changes.make(name, at, self._settings.seconds)
        elif name is None or name not in changes.made:
            return self._count(event, place, changes, name, target if renames else None, renames=renames)
        elif renames and target is not None:
            changes.make(target, at, self._settings.seconds)
        return ()

    def _count(
        self, event: Event, place: _Place, changes: _Changes, name: str | None, target: str | None, *, renames: bool
    ) -> Iterator[Event]:
        settings, at = self._settings, event.timestamp.timestamp()
        if changes.seen.full(at, settings.seconds):
            return
        changes.nameless += name is None
        count = changes.seen.add(name or changes.nameless, at, settings.seconds, weight=int(renames))
        usual = self._baselines.most(RULE.id, "\0".join(map(str, place)), at, count, settings.changes / 10)
        many = settings.changes if usual is None else settings.times_usual * usual
        least = min(settings.changes, max(settings.changes // 2, int(many))) if many else settings.changes
        if changes.ladder.speaks(count, least, at, settings.seconds):
            yield self._signal(event, place, changes, usual, _extension(name, target))

    def _signal(
        self, event: Event, place: _Place, changes: _Changes, usual: float | None, extension: str | None
    ) -> Event:
        count, renamed = len(changes.seen), changes.seen.weight
        message = (
            f"{event.source_ip} renamed {renamed} and deleted {count - renamed} files of a share of "
            f"{event.destination_ip} within {self._settings.seconds} s"
        )
        if usual is not None:
            message += f"; at this hour it is usually {usual:.0f}"
        ordinary = usual is not None and count < self._settings.times_usual * usual
        # Deleting alone, with nothing made in its place, is most often somebody who tidies up.
        tidying = renamed * 2 < count and len(changes.created) * 2 < count
        signal = raise_signal(
            RULE,
            event,
            message,
            first=changes.seen.first(),
            severity="Minor" if ordinary or tidying else None,
            confidence="Low" if ordinary else None,
            detail={
                "renamed": renamed,
                "deleted": count - renamed,
                "created": len(changes.created),
                "usual": usual,
                "new_extension": extension,
            },
        )
        signal.user_name, signal.nsm_smb_share = place.user, place.share
        return signal

    def _user(self, event: Event, session: str | None) -> str | None:
        known = (event.network_community_id, session)
        return (self._users.of(known)[0] if self._users.known(known) else None) or event.source_ip

    def _share(self, tree: tuple[str | None, str | None, str | None]) -> str | None:
        return self._shares.of(tree)[0] if self._shares.known(tree) else tree[2]

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._users, self._shares, self._places)


def _makes(name: str | None, disposition: str | None) -> bool:
    """Whether opening a file makes one that was not there.

    Only ``FILE_CREATE`` says so for sure; of the others that can, a temporary name must say it.
    """
    if disposition == "FILE_CREATE":
        return True
    if disposition not in {"FILE_OVERWRITE_IF", "FILE_SUPERSEDE", "FILE_OPEN_IF"} or name is None:
        return False
    last = name.rpartition("\\")[2].lower()
    return last.startswith(("~", ".")) or last.endswith(_TEMPORARY_ENDS)


def _extension(name: str | None, target: str | None) -> str | None:
    """What a rename added to a name, such as ``.locked``: the first thing an analyst asks."""
    if target is None:
        return None
    last = target.rpartition("\\")[2]
    if name is not None and target.startswith(name) and len(target) > len(name):
        return target[len(name) :][:32]
    return f".{last.rpartition('.')[2]}"[:32] if "." in last else None
