"""What may be spent on tokens, so that it is never exceeded: reserved before a model is asked, settled after.

Money is counted in whole billionths, rounded up, so that no sum of many turns is off. What is reserved is what a turn
can cost at most: no tokeniser makes more tokens of a text than it has bytes, and a reply has an end because it is given
one. Electricity is not counted: it is paid however little is left.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mai_core.policy.messages import GenerationOptions, Message
from mai_core.policy.models import ModelProfile

__all__ = ["LEAST_REPLY", "PAID_REPLY", "Budget", "Grant", "cost_of", "granted", "most_tokens"]

NANO = 10**9
PAID_REPLY = 8192
"""Tokens a reply that is paid for may have where the settings leave its length to the model: any has an end then."""
LEAST_REPLY = 64
"""Tokens below which a reply is not worth having."""

# Chat templates put some tokens around every message; one image may count as dozens of thousands of them.
MESSAGE_TOKENS = 32
IMAGE_TOKENS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits, None for none, and what was spent of them, in billionths.

    today, month  what was spent, and what is reserved
    open          the part of ``today`` that is reserved: for turns under way, and for those that ended without a word
                  of what they cost
    """

    per_day: int | None = None
    per_month: int | None = None
    today: int = 0
    month: int = 0
    open: int = 0

    @classmethod
    def of(cls, per_day: float | None, per_month: float | None) -> Budget:
        """Limits in money, with nothing spent."""
        day, month = (None if limit is None else math.floor(limit * NANO) for limit in (per_day, per_month))
        return cls(per_day=day, per_month=month)

    @property
    def left(self) -> int | None:
        """What may still be spent, the tighter of both; None without a limit."""
        limits = ((self.per_day, self.today), (self.per_month, self.month))
        left = [max(0, limit - spent) for limit, spent in limits if limit is not None]
        return min(left) if left else None

    @property
    def words(self) -> str:
        """``0.42 of 1.00 today, 3.10 of 20.00 this month``; empty where nothing was spent and nothing is limited."""
        parts = []
        for limit, spent, when in ((self.per_day, self.today, "today"), (self.per_month, self.month, "this month")):
            if limit is not None:
                parts.append(f"{_money(spent)} of {_money(limit)} {when}")
            elif spent and self.per_day is None and self.per_month is None:
                parts.append(f"{_money(spent)} {when}")
        return ", ".join(parts)

    @property
    def words_of_open(self) -> str:
        """``0.08 of it reserved``, for ``open``; empty without any."""
        return f"{_money(self.open)} of it is reserved for replies whose cost is not known yet" if self.open else ""

    def refusal(self, least: int) -> tuple[str, str]:
        """Why a turn that takes ``least`` cannot be paid, and what would help."""
        day_left = math.inf if self.per_day is None else self.per_day - self.today
        month_left = math.inf if self.per_month is None else self.per_month - self.month
        name, when, limit, spent = (
            ("day", "today", self.per_day, self.today)
            if day_left <= month_left
            else ("month", "this month", self.per_month, self.month)
        )
        said = (
            f"even a short reply may cost {_money(least)}, and {_money(spent)} of {_money(limit or 0)} is spent {when}"
        )
        return said, f"mai config set cost.budget_{name} AMOUNT"


class Grant(NamedTuple):
    """Leave to spend: at most so many tokens of reply (0: no end), for which so many billionths are reserved."""

    max_tokens: int
    amount: int


def cost_of(model: ModelProfile, prompt_tokens: int, reply_tokens: int) -> int:
    """What tokens cost, in billionths, rounded up: more tokens never cost less."""
    return math.ceil((model.price_in * prompt_tokens + model.price_out * reply_tokens) * NANO / 1_000_000)


def most_tokens(messages: Sequence[Message], options: GenerationOptions) -> int:
    """What a prompt can have at most: its bytes as UTF-8, and what templates and images add."""
    told = [json.dumps((tool.name, tool.description, dict(tool.parameters))) for tool in options.tools]
    if options.json_schema is not None:
        told.append(json.dumps(options.json_schema))
    for message in messages:
        told.append(message.content)
        told += [call.id + call.name + call.arguments for call in message.tool_calls]
        told.append(message.tool_call_id)
    written = sum(len(text.encode("utf-8", "replace")) for text in told)
    images = sum(len(message.images) for message in messages)
    return written + MESSAGE_TOKENS * (len(messages) + len(options.tools) + 2) + IMAGE_TOKENS * images


def granted(budget: Budget, model: ModelProfile, prompt_tokens: int, wanted: int) -> Grant | None:
    """What may be spent on a reply to at most so many tokens; None where that does not pay for one worth having.

    ``wanted`` are the tokens the reply may have at most, 0 for as many as the model likes.
    """
    left = budget.left
    if left is None:
        return Grant(wanted, cost_of(model, prompt_tokens, wanted or PAID_REPLY))
    wanted = wanted or PAID_REPLY
    tokens = wanted
    if cost_of(model, prompt_tokens, tokens) > left:
        tokens = bisect_right(range(1, wanted + 1), left, key=lambda reply: cost_of(model, prompt_tokens, reply))
        if tokens < min(wanted, LEAST_REPLY):
            return None
    return Grant(tokens, cost_of(model, prompt_tokens, tokens))


def _money(amount: int) -> str:
    """Two decimals as of a price tag, and four where that would hide it."""
    value = amount / NANO
    if 0.0 < value < 0.00005:
        return "under 0.0001"
    return f"{value:.2f}" if value == 0.0 or value >= 0.1 else f"{value:.4f}"
