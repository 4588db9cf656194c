"""How each recogniser is served: its profile, its prompt templates, and the zoo of models known by name. No torch.

It may import `models.weights.digests`.
"""
