"""Readers of recipe files, one module per format; see `registry`."""
