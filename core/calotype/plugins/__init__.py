"""Finds plugins and keeps what they add; the hooks they can answer."""
