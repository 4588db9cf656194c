"""Training, evaluation and their reports: what the training worker does besides decoding."""
