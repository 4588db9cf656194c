"""What people use instead of Vireo, as small servers: an upload of a video and labels, and the scores of the labels.

Each is written as the documentation of its library shows, and each has the same tower with the same random weights,
the same frames and the same labels. What would make it slower than its authors' own example is left out: the labels
are encoded once and remembered, and only frames that are used are converted. A peer imports nothing of Vireo but this
folder; it runs as `python -m`, in an environment that the bench makes (benchmarks/bench/environments.py).

Its options are environment variables, because some of these servers start processes of their own:

    PEER_PORT       where it listens, on 127.0.0.1
    PEER_MODEL      an architecture of open_clip, such as ViT-B-32-quickgelu
    PEER_PRECISION  fp32 or bf16; int8 or int8+bf16 with openvino-int8
    PEER_ENGINE     torch, openvino or openvino-int8
    PEER_CACHE      folder of exported towers
"""
