"""Which frames of a video are taken, and how each is cropped and augmented. No torch, because decode children run this.

It may import `profiles` and what lies below it.
"""
