"""A discrete-event simulator: machines, people and programs that real strategies and the real core decide for.

What decides is the product itself (``policy.decision.decide`` with real strategies). What it decides about is made up:
a hidden truth of footprints, speeds and abilities that differs from what the core believes of it, other programs that
take memory, people who ask, think and type. Randomness is seeded and passed in: the same seed gives the same world to
every contestant, and the same run.
"""
