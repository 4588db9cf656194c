"""Why a label got its score: the contribution of each frame, and the attention sheet. It may import the rest of
`worker.inference` except `role`, and `models`."""
