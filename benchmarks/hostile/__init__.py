"""Hostile videos: good clips in every container and codec, ways to damage them, and files hostile by design."""
