"""Sources of events: Suricata's EVE, and our own packet reader."""
