"""Real outcomes replayed: what strategies would have chosen, how often that was right, and what it would have cost.

A table says of many prompts which of many models answered them correctly, and at what cost. ``tables`` reads
it, ``pool`` picks the models that compete and ``fitting`` those that a machine can run, ``forecasts`` says of
every prompt what could be known before its answers and ``trust`` how far that is believed, ``contestants`` let
strategies choose by it, and ``curves``, ``gains`` and ``intervals`` measure what came of it. ``study.replay``
is the whole of it, ``result`` what it returns.
"""
