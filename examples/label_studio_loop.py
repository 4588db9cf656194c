"""Corrections in Label Studio become training data.

    python examples/label_studio_loop.py send PROJECT           puts Vireo's feedback into a project, as tasks
    python examples/label_studio_loop.py fetch PROJECT NAME     brings corrections back, as a dataset NAME

LABEL_STUDIO_URL says where Label Studio is, and LABEL_STUDIO_TOKEN, a legacy token of its account page, who asks.
"""

from __future__ import annotations

import os
import sys

import httpx2

URL = os.environ.get("VIREO_URL", "http://127.0.0.1:8000")
STUDIO = os.environ.get("LABEL_STUDIO_URL", "http://localhost:8080")
TOKEN = os.environ.get("LABEL_STUDIO_TOKEN", "")


def checked(response: httpx2.Response) -> httpx2.Response:
    """The response, or the end of the script with what the server said."""
    if response.is_error:
        sys.exit(f"{response.request.url}: {response.status_code} {response.text}")
    return response


def send(vireo: httpx2.Client, studio: httpx2.Client, project: str) -> None:
    tasks = checked(vireo.get("/v1/feedback/export", params={"format": "label-studio"})).json()
    checked(studio.post(f"/api/projects/{project}/import", json=tasks))
    print(f"{len(tasks)} tasks are in project {project}.")


def fetch(vireo: httpx2.Client, studio: httpx2.Client, project: str, name: str) -> None:
    corrected = checked(studio.get(f"/api/projects/{project}/export", params={"exportType": "JSON"}))
    json = {"content-type": "application/json"}
    result = checked(vireo.post("/v1/feedback/import", content=corrected.content, headers=json)).json()
    print(f"imported {result['imported']}, unchanged {result['unchanged']}, failed {result['failed']}")
    for problem in result["problems"]:
        print(f"{problem['where']}: {problem['message']}")
    job = checked(
        vireo.post("/v1/datasets", json={"from": "feedback", "name": name}, headers={"prefer": "wait=60"})
    ).json()
    print(f"{name} is {job['result']['dataset']}: {job['result']['clips']} clips, {job['result']['classes']} classes.")


def main() -> None:
    arguments = sys.argv[1:]
    with (
        httpx2.Client(base_url=URL, timeout=120) as vireo,
        httpx2.Client(base_url=STUDIO, timeout=120, headers={"authorization": f"Token {TOKEN}"}) as studio,
    ):
        match arguments:
            case ["send", project]:
                send(vireo, studio, project)
            case ["fetch", project, name]:
                fetch(vireo, studio, project, name)
            case _:
                sys.exit("usage: python examples/label_studio_loop.py send PROJECT | fetch PROJECT NAME")


if __name__ == "__main__":
    main()
