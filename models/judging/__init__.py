"""Metrics and evaluation protocols of the papers, on arrays of scores. numpy only; it imports no other room."""
