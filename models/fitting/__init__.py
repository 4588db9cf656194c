"""How a model is fitted: recipes, learning-rate schedule, optimiser, few-shot draws.

It may import `recognition` and what lies below it.
"""
