"""What a model saw: the frames that it looked at, the contribution of each to the score of a label, and the attention
sheet. It may import the rest of `worker.inference` except `role`, and `models`."""
