"""X-CLIP's architecture in transformers, as its page shows: a processor, and the whole model for each request.

transformers has no pipeline for videos and labels of any kind, so this is the road that its documentation takes.
"""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import numpy as np
import open_clip
import torch
import uvicorn
from fastapi import FastAPI, Form, UploadFile
from transformers import VideoMAEImageProcessor, XCLIPConfig, XCLIPModel

from benchmarks.peers.clip import FRAMES, read_frames
from benchmarks.peers.tower import PRECISIONS

PATCH = {"ViT-B-32-quickgelu": 32, "ViT-B-16-quickgelu": 16}

app = FastAPI()
torch.manual_seed(0)
config = XCLIPConfig(vision_config={"patch_size": PATCH[os.environ["PEER_MODEL"]], "num_frames": FRAMES})
model: Any = XCLIPModel(config)
model.eval()
model.to(PRECISIONS[os.environ["PEER_PRECISION"]])
processor: Any = VideoMAEImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224})
tokenizer = open_clip.get_tokenizer("ViT-B-32")  # the same tokens; X-CLIP's own are on a model hub


@app.get("/health")
def health() -> str:
    return "ok"


@app.post("/classify")
def classify(video: UploadFile, labels: Annotated[str, Form()]) -> dict[str, float]:
    asked: list[str] = json.loads(labels)
    frames = [np.asarray(frame) for frame in read_frames(video.file)]
    pixels = processor(frames, return_tensors="pt")["pixel_values"].to(model.dtype)  # [1, T, 3, S, S]
    tokens = tokenizer(asked)  # [C, 77]
    with torch.no_grad():
        outputs = model(input_ids=tokens, attention_mask=(tokens != 0).long(), pixel_values=pixels)
    return dict(zip(asked, outputs.logits_per_video[0].float().softmax(-1).tolist(), strict=True))


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PEER_PORT"]), log_level="warning")
