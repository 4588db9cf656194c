"""The forty lines that people write: FastAPI, open_clip and PyAV."""

from __future__ import annotations

import json
import os
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Form, UploadFile

from benchmarks.peers.clip import read_frames
from benchmarks.peers.tower import Tower

app = FastAPI()
tower = Tower()


@app.get("/health")
def health() -> str:
    return "ok"


@app.post("/classify")
def classify(video: UploadFile, labels: Annotated[str, Form()]) -> dict[str, float]:
    asked: list[str] = json.loads(labels)
    (vector,) = tower.vectors(tower.pixels(read_frames(video.file)))
    return dict(zip(asked, tower.scores(vector, tuple(asked)), strict=True))


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PEER_PORT"]), log_level="warning")
