"""Secrets that are planted in the running copy, so that a test can look for them wherever it writes something.

The passwords of Redis and the key of the webhooks are those that `docker/make_secrets.py` drew; the API key is the one
that every request of these tests is sent with. CLIENT_TOKEN is one that opens nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.e2e.hardened.containers import Containers
from tests.s3 import BUCKET, S3

S3_KEY: Final = "s3-secret-key-8fL2qWzR5tYv"
CLIENT_TOKEN: Final = "client-bearer-token-Jk3mN9pQ"
URL_PASSWORD: Final = "password-in-a-url-Xb7cV1nM"
URL_SIGNATURE: Final = "signature-in-a-query-Hd5gT2yU"

PREFIX: Final = f"s3://{BUCKET}/planted/"


def environment(folder: Path, s3: S3) -> dict[str, str]:
    """Settings of the copy. The key of the object store is in a file, as in the compose file."""
    credentials = folder / "aws-credentials"
    credentials.write_text(f"[default]\naws_access_key_id = planted\naws_secret_access_key = {S3_KEY}\n")
    return {
        "VIREO_MODEL": "tiny",
        "VIREO_LEASE_SECONDS": "4",
        "VIREO_LOG_LEVEL": "debug",
        "VIREO_BATCH_PREFIXES": PREFIX,
        "VIREO_ALLOWED_HOSTS": "127.0.0.1",
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_ENDPOINT_URL": s3.environment["AWS_ENDPOINT_URL"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "OMP_NUM_THREADS": "1",
    }


def secrets(hardened: Containers) -> dict[str, str]:
    """What it is → its text, which nothing may show."""
    users = {f"password of Redis for the {user}": hardened.password(user) for user in ("gateway", "worker", "operator")}
    return users | {
        "key of webhooks": hardened.secret("webhook-secret").removeprefix("whsec_"),
        "key of the object store": S3_KEY,
        "API key": hardened.token[-30:],
        "token of a client": CLIENT_TOKEN,
        "password in a URL": URL_PASSWORD,
        "signature in a URL": URL_SIGNATURE,
    }
