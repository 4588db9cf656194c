"""`python examples/folder_to_csv.py FOLDER OUT.csv LABEL LABEL…`: a table of what each video of a folder shows.

Four videos are asked about at a time. A video that cannot be asked about gets a row with the reason.
"""

from __future__ import annotations

import csv
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from vireo import Client, VireoError

URL = os.environ.get("VIREO_URL", "http://127.0.0.1:8000")
SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm"}
COLUMNS = ("file", "label", "score", "similarity", "error")


def row(client: Client, folder: Path, labels: list[str], path: Path) -> dict[str, object]:
    """The best label of one video, or why there is none."""
    file = path.relative_to(folder)
    try:
        best = client.classify(path, labels, top_k=1).predictions[0]
    except VireoError as error:
        return {"file": file, "error": error.message}
    return {"file": file, "label": best.label, "score": best.score, "similarity": best.similarity}


def main() -> None:
    if len(sys.argv) < 5:
        sys.exit("usage: python examples/folder_to_csv.py FOLDER OUT.csv LABEL LABEL…")
    folder, out, labels = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    with Client(URL) as client, ThreadPoolExecutor(4) as pool, out.open("w") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for number, found in enumerate(pool.map(partial(row, client, folder, labels), videos), 1):
            table.writerow(found)
            print(f"{number}/{len(videos)} {found['file']}: {found.get('label') or found['error']}")


if __name__ == "__main__":
    main()
