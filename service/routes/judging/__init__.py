"""The routes about how good a model is, and how far its answers can be trusted: evaluations and calibrations."""
