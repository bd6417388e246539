"""Decisions only, no IO: the built-in selection strategies and context transfers."""
