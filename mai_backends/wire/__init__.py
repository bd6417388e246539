"""The chat-completions protocol as every engine speaks it: requests, server-sent events, replies, refusals.

Nothing here knows one engine from another, or decides what a failure means.
"""
