"""The durable queue between capture and delivery; the only one in the system."""
