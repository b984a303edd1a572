"""The steps together: what a match of the agent's own indicators is at each level of detail."""

from __future__ import annotations

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType, Known
from schoolwacht.match import IndicatorSet, in_memory
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.indicators.match import Matcher
from schoolwacht_agent.minimise.settings import Level
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.steps import Steps
from tests.schoolwacht_agent.minimise.made import CLIENT, SERVER, event, flow, step

BAD = IndicatorSet(
    in_memory(
        [
            Known(IndicatorType.ADDRESS, SERVER),
            Known(IndicatorType.DOMAIN, "evil.example"),
            Known(IndicatorType.JA4, "t13d1516h2_8daaf6152771_e5627efa2ab1"),
        ]
    )
)


def sent(level: Level) -> list[Event]:
    """What goes out of a flow and a TLS handshake with a host that is known as bad."""
    steps = Steps(Gateway(Homes()), BehaveSettings(), minimise=step(level), matcher=Matcher(indicators=BAD))
    tls = event(
        Dataset.TLS,
        source_ip=CLIENT,
        destination_ip=SERVER,
        tls_client_server_name="www.evil.example",
        nsm_tls_ja4="t13d1516h2_8daaf6152771_e5627efa2ab1",
    )
    return steps.through([tls, flow(1)]) + steps.finish()


@pytest.mark.parametrize("level", list(Level))
def test_a_match_is_a_signal_with_its_host_at_every_level(level: Level) -> None:
    signals = [one for one in sent(level) if one.event_dataset is Dataset.SIGNAL]
    assert {one.threat_indicator_type for one in signals} == {"address", "domain", "ja4"}
    assert all(one.source_ip and one.source_ip != CLIENT for one in signals)


@pytest.mark.parametrize("level", list(Level))
def test_a_sighting_does_not_tell_a_match_again(level: Level) -> None:
    sightings = [one for one in sent(level) if one.event_dataset is Dataset.SIGHTING]
    assert sightings
    assert not [hit for one in sightings for hit in BAD.match(one)]
