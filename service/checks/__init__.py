"""What can be refused without model weights: questions that no worker can answer, invalid labels, training requests.

It may import `gateway` and what lies below it.
"""
