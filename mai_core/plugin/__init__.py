"""The door for plugins: the hooks, the Protocols behind them, and the registry that isolates them."""
