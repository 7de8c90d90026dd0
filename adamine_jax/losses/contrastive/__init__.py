"""Losses that compare each pair with all others of the batch."""
