"""Programs that the documentation runs."""
