"""Real outcomes replayed: what strategies would have chosen, how often that was right, and what it would have cost.

A table says of many prompts which of many models answered them correctly, and at what cost. ``tables`` reads it,
``pool`` picks the models that compete, ``forecasts`` says of every prompt what could be known before its answers,
``contestants`` let strategies choose by that, and ``curves``, ``gains`` and ``intervals`` measure what came of it.
"""
