"""What a training run is fitted with: recipes, learning-rate schedule, optimiser, few-shot draws.

It may import `recognition` and what lies below it.
"""
