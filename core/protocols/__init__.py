"""The evaluation protocols of the papers: what each draws, what it trains, and how it sums up.

The gateway reads from it what a protocol needs, the worker what to do. It may import the rest of `core`.
"""
