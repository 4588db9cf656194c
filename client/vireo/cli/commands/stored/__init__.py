"""`vireo videos`, `labels`, `dataset` and `feedback`: what a server stores."""
