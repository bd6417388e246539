"""What a turn was worth to the person who asked, as one number that strategies can be compared by."""

from __future__ import annotations

__all__ = ["reward"]

TAKEN_OVER = 0.5
"""What is left of an answer's worth when another model had to bring it to its end, or it ended in a loop."""


def reward(
    *, answered: bool, worth: float, struggled: bool = False, seconds: float = 0.0, seconds_value: float = 0.005
) -> float:
    """From 0, nothing came of it or it was bad, to 1, a good answer at once.

    worth          1 when the person called the answer good, 0 when they called it bad; where they say nothing, the
                   probability that it is good, as predicted of the model that wrote it
    struggled      the model that was chosen did not bring it to its end
    seconds        until the answer was there, from the person's message on
    seconds_value  what a second of waiting takes off, as in the settings under ``stability``
    """
    if not answered:
        return 0.0
    kept = worth * (TAKEN_OVER if struggled else 1.0)
    return min(1.0, max(0.0, kept - seconds * seconds_value))
