"""How each recogniser is asked: its profile, its prompt templates, and the zoo of models known by name. No torch.

It may import `models.weights.digests`.
"""
