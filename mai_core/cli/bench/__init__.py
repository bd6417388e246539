"""``mai bench``: how good Mai's own judgement is on this machine, and how good a strategy's is. One file a command."""

from __future__ import annotations

from mai_core.cli.bench.check import check
from mai_core.cli.bench.compare import compare
from mai_core.cli.bench.footprint import footprint
from mai_core.cli.bench.replay import replay
from mai_core.cli.bench.simulate import simulate
from mai_core.cli.help import new_app

__all__ = ["app"]

app = new_app(no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure how good Mai's own judgement is, on this machine and on simulated ones."""


app.command(short_help="Hold strategies to laws, on generated worlds.")(check)
app.command(short_help="Strategies beside each other, with a report.")(compare)
app.command(short_help="Predicted memory beside measured.")(footprint)
app.command(short_help="Strategies on outcomes of real models.")(replay)
app.command(short_help="Strategies on simulated machines.")(simulate)
