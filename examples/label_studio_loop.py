"""Corrections in Label Studio become training data.

    python examples/label_studio_loop.py send PROJECT           puts Vireo's feedback into a project, as tasks
    python examples/label_studio_loop.py fetch PROJECT NAME     brings corrections back, as a dataset NAME

LABEL_STUDIO_URL says where Label Studio is, and LABEL_STUDIO_TOKEN, a legacy token of its account page, who asks.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import httpx2

from vireo import Client, VireoError

URL = os.environ.get("VIREO_URL", "http://127.0.0.1:8000")
STUDIO = os.environ.get("LABEL_STUDIO_URL", "http://localhost:8080")
TOKEN = os.environ.get("LABEL_STUDIO_TOKEN", "")


def checked(response: httpx2.Response) -> httpx2.Response:
    """The response, or the end of the script with what Label Studio said."""
    if response.is_error:
        sys.exit(f"{response.request.url}: {response.status_code} {response.text}")
    return response


def send(vireo: Client, studio: httpx2.Client, project: str, file: Path) -> None:
    vireo.feedback.save(file)
    headers = {"content-type": "application/json"}
    tasks = checked(studio.post(f"/api/projects/{project}/import", content=file.read_bytes(), headers=headers)).json()
    print(f"{tasks['task_count']} tasks are in project {project}.")


def fetch(vireo: Client, studio: httpx2.Client, project: str, name: str, file: Path) -> None:
    corrected = checked(studio.get(f"/api/projects/{project}/export", params={"exportType": "JSON"}))
    file.write_bytes(corrected.content)
    report = vireo.feedback.load(file)
    print(f"imported {report.imported}, unchanged {report.unchanged}, failed {report.failed}")
    for problem in report.problems:
        print(f"{problem.where}: {problem.message}")
    made = vireo.datasets.from_feedback(name).result()
    print(f"{name} is {made.dataset}: {made.clips} clips, {made.classes} classes.")


def main() -> None:
    headers = {"authorization": f"Token {TOKEN}"}
    with (
        Client(URL) as vireo,
        httpx2.Client(base_url=STUDIO, timeout=120, headers=headers) as studio,
        tempfile.TemporaryDirectory() as folder,
    ):
        file = Path(folder) / "tasks.json"
        try:
            match sys.argv[1:]:
                case ["send", project]:
                    send(vireo, studio, project, file)
                case ["fetch", project, name]:
                    fetch(vireo, studio, project, name, file)
                case _:
                    sys.exit("usage: python examples/label_studio_loop.py send PROJECT | fetch PROJECT NAME")
        except VireoError as error:
            sys.exit(f"{error.message} {error.hint or ''}")


if __name__ == "__main__":
    main()
