"""Text encoders: CLIP's text towers, sentence encoders, learned context vectors, tokenizers.

It may import `weights` and `profiles`.
"""
