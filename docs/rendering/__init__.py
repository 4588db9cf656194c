"""The parts of the documentation that are rendered from the code, one module per subject.

It may import every room. `docs/render.py` is the command that writes the blocks and checks them.
"""
