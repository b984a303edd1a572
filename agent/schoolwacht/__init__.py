"""What the agent and the collector agree on: the event, the wire, the errors, the configuration loader."""
