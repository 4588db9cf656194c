"""`vireo train`, `eval`, `calibrate` and `models`: better answers."""
