"""`vireo ask`, `classify`, `timeline`, `explain`, `search` and `batch`: what videos show."""
