"""GGUF files: what they say about the models in them, read without their weights and without believing them.

types     what a header holds
parsing   bytes to a header, wherever the bytes come from
reader    the header of a file on this disk
splits    models in several files
remote    the header of a file on a server, before it is fetched
facts     a header to what memory follows from
"""
