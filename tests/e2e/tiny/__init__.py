"""Tests that share one running copy, which serves and trains `tiny`. They run in one process of the test run."""
