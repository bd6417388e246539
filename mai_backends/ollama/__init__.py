"""Ollama: the models its server on this machine, or another, keeps and runs."""
