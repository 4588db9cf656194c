"""Tests that share one running copy, which serves `lite`. They run in one process of the test run."""
