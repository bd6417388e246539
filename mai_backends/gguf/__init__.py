"""GGUF files: what they say about the models in them, read without their weights and without believing them.

types    what a header holds
reader   bytes to a header
facts    a header to what memory follows from
"""
