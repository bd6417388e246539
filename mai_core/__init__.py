"""Mai: a local-first chat assistant and the policy engine behind it."""

from mai_core.plugin.hookspecs import hookimpl

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl"]
