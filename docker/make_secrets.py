"""`make secrets`: the passwords and keys of the compose file, drawn once, as files in `secrets/`.

A file that exists stays: delete it to draw its secret again. Redis gets only digests of the passwords. The folder is
closed to other users of the host; the files are not, because containers read them as users of their own.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import sys
from pathlib import Path

RULES = Path(__file__).with_name("redis-users.acl")
ADDRESS = "redis:6379/0"


def main(folder: Path) -> None:
    rules = RULES.read_text(encoding="utf-8")
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    _keep(folder / "webhook-secret", f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")
    passwords = {}
    for user in users_with_a_password(rules):
        url = _keep(folder / f"redis-url-{user}", f"redis://{user}:{secrets.token_urlsafe(32)}@{ADDRESS}")
        passwords[user] = url.rpartition("@")[0].rpartition(":")[2]
    users = folder / "redis-users.acl"
    users.unlink(missing_ok=True)  # it is for reading only
    _keep(users, users_file(rules, passwords))


def _keep(path: Path, text: str) -> str:
    """What the file holds; `text` where there is none yet."""
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        path.chmod(0o444)
    return path.read_text(encoding="utf-8")


def users_with_a_password(rules: str) -> list[str]:
    return re.findall(r"^user (\w+) on PASSWORD\b", rules, re.MULTILINE)


def users_file(rules: str, passwords: dict[str, str]) -> str:
    """The rules as Redis reads them: one line for each user, no comments, and digests of passwords."""
    lines = re.sub(r"^#.*\n", "", rules, flags=re.MULTILINE)
    lines = re.sub(r"\n +", " ", lines)
    for user, password in passwords.items():
        digest = hashlib.sha256(password.encode()).hexdigest()
        lines = lines.replace(f"user {user} on PASSWORD", f"user {user} on #{digest}")
    return lines


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "secrets"))
