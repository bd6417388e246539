"""Ollama's HTTP interface: what is sent, how it is read, and nothing of what it means to Mai's core."""
