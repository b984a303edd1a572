"""The steps together: what they keep at the end, and what they tell of themselves."""

from pathlib import Path

from schoolwacht.event import Dataset
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.steps import Steps
from tests.schoolwacht_agent.behave.traffic import REFUSED, flow


def test_what_the_detectors_have_learned_is_kept_at_the_end(tmp_path: Path) -> None:
    steps = Steps(Gateway(Homes()), BehaveSettings(), tmp_path / "baselines")
    steps.through([flow(0)])
    steps.close()
    assert (tmp_path / "baselines").exists()


def test_a_replay_leaves_nothing_behind(tmp_path: Path) -> None:
    steps = Steps(Gateway(Homes()), BehaveSettings())
    steps.through([flow(0)])
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_signals_stand_behind_the_events_that_complete_them_and_are_counted_on() -> None:
    steps = Steps(Gateway(Homes()), BehaveSettings())
    events = steps.through([flow(n / 10, "10.1.1.1", "10.9.9.9", n, reply=REFUSED) for n in range(1, 60)])
    first = next(place for place, event in enumerate(events) if event.event_dataset is Dataset.SIGNAL)
    assert 0 < first < len(events) - 1
    assert steps.figures()["behave.evicted"] == 0
