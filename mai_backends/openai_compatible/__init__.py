"""Every server with ``/v1/models`` and ``/v1/chat/completions``, on this machine or another."""
