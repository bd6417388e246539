"""Everything Mai remembers, in one SQLite file.

conversations   what was said                 decisions      why each model was chosen, and the pin
measurements    what loads and replies took   experts        what was learnt of strategies
outcomes        how replies turned out        spendings      what tokens cost
search          which conversations hold a term
schema          the tables and their past     database       transactions, waiting, errors
codec           dataclasses as JSON           text           ids, titles, excerpts
images          what messages show
"""

from __future__ import annotations

from mai_core.runtime.store.conversations import Conversations, ConversationSummary
from mai_core.runtime.store.decisions import Decisions, StoredDecision
from mai_core.runtime.store.experts import LearntExperts
from mai_core.runtime.store.measurements import Failure, LoadRecord, Measurements
from mai_core.runtime.store.outcomes import Outcomes
from mai_core.runtime.store.spendings import Spendings

__all__ = ["ConversationSummary", "Failure", "LoadRecord", "Store", "StoredDecision"]


class Store(Conversations, Decisions, Measurements, LearntExperts, Spendings, Outcomes):
    """Conversations, decisions and measurements of one person.

    Blocking and thread-safe; several processes may have the same file open. Every method raises ``StoreError``, with
    what to do about it, when the file cannot be read or written.
    """
