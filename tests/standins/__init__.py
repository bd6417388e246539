"""Servers on the loopback that speak an engine's protocol, its silences and failures included."""
