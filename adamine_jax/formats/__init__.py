"""Readers of the files that recipes come in, one module a format; see `registry`."""
