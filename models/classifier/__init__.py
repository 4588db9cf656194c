"""The classifier W: one unit row per label, from text, LDA, random or learned weights.

It may import `text` and what lies below it.
"""
