"""The recognisers: towers, temporal heads, classifiers, prompts, profiles. Pure PyTorch: no web, no Redis, no queue."""
