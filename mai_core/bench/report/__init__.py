"""Strategies compared: what simulations and replays found, as one value, and as a page that anybody can read.

``simulated``, ``replayed`` and ``lawful`` turn results into parts, ``comparison`` puts parts together, ``thresholds``
judges them. ``page`` and ``plots`` are pure functions of a comparison: the same one gives the same bytes.
"""
