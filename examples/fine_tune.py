"""`python examples/fine_tune.py FOLDER [NAME]`: the whole way from clips to a model that answers.

FOLDER has one folder of videos per class; one that does not exist is drawn. The model is called NAME (default: balls).
It starts from the model that BASE in the environment names (default: the server's).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

from vireo import Client, Job, VireoError

URL = os.environ.get("VIREO_URL", "http://127.0.0.1:8000")
BASE = os.environ.get("BASE")

ResultT = TypeVar("ResultT")


def followed(job: Job[ResultT]) -> ResultT:
    """The job's result. Prints what it says until it ends. Raises: VireoError if it fails."""
    for event in job.follow():
        if event.log:
            print(event.log.message)
    return job.result()


def run(client: Client, folder: Path, name: str) -> None:
    dataset = followed(client.datasets.add(folder, name=name))
    print(f"{dataset.dataset}: {dataset.clips} clips, {dataset.classes} classes")

    made = followed(client.train(name, dataset.dataset, base=BASE))
    print(f"{made.model}: {made.headline.sentence if made.headline else 'no clip could be judged'}")

    clip = min(folder.rglob("*.mp4"))
    for labels in (None, ["a ball", "a box", "a cat"]):  # its own classes; then other labels
        best = client.classify(clip, labels, model=made.model).predictions[0]
        print(f"{clip.relative_to(folder)}: {best.label} {best.score:.0%}")


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python examples/fine_tune.py FOLDER [NAME]")
    folder, name = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else "balls"
    if not folder.exists():
        subprocess.run([sys.executable, Path(__file__).with_name("draw_clips.py"), folder], check=True)
    with Client(URL) as client:
        try:
            run(client, folder, name)
        except VireoError as error:
            sys.exit(f"{error.message} {error.hint or ''}")


if __name__ == "__main__":
    main()
