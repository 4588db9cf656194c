"""The embedded model `lite`: two image networks and a sentence encoder from pip packages, aligned in closed form.

It may import `image`, `text` and what lies below them.
"""
