"""The imperative shell: everything that touches the world, around the pure decisions of ``policy``."""
