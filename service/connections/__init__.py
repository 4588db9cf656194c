"""Connections of clients, and the bodies that arrive on them: bounds on size, time, number and share of the event loop.

It may import `http` and what lies below it.
"""
