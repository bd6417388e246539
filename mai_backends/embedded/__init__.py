"""The embedded engine: llama.cpp in a worker process for each loaded model, and the models on this disk."""
