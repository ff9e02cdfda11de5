"""Step "comment" of the GitHub Action: one comment on the pull request, identified by a marker and kept up to date.

The comment is genbench's summary, in which names are escaped; it is passed to `gh` as JSON on standard input. Without
write permission, as in a pull request from a fork, there is no comment, and a notice says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONGEST = 60_000  # characters; GitHub's limit is 65,536
BOT = "github-actions[bot]"  # the author of comments made with a workflow's token
Gh = Callable[..., "tuple[str | None, str]"]


def main() -> int:
    """Write the comment; a failure does not affect the verdict."""
    path = os.environ.get("GITHUB_EVENT_PATH", "")
    event = json.loads(Path(path).read_text(encoding="utf-8")) if path and Path(path).is_file() else {}
    number = event.get("pull_request", {}).get("number") if isinstance(event, dict) else None
    if not isinstance(number, int):
        print("No pull request: no comment.")
        return 0
    summary = (Path(os.environ["GATE_EVIDENCE"]) / "summary.md").read_text(encoding="utf-8")
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ["GITHUB_REPOSITORY"]
    page = f"{server}/{repository}/actions/runs/{os.environ.get('GITHUB_RUN_ID', '')}"
    refused = write(body(summary, marker(os.environ.get("GATE_NAME", "")), page), repository, number, gh)
    if refused:
        notice = f"No comment was written; the verdict is in the step summary. {refused}"
        print(f"::notice title=genbench::{notice}".replace("\r", " ").replace("\n", " "))
    return 0


def marker(name: str) -> str:
    """Return the hidden line that identifies the comment; gates with different names have different markers."""
    return f"<!-- genbench gate: {re.sub('[^A-Za-z0-9 _.]+', '-', name).strip('-')} -->"


def body(summary: str, mark: str, page: str) -> str:
    """Return the comment; a summary too long for GitHub is cut at the end of a line."""
    kept = summary
    if len(kept) > LONGEST:
        kept = kept[:LONGEST].rsplit("\n", 1)[0] + "\n\n… the full text is in the step summary.\n"
    return f"{mark}\n{kept.rstrip()}\n\n[Evidence and log]({page})\n"


def write(text: str, repository: str, number: int, gh: Gh) -> str:
    """Create or update the comment; return the reason if that fails, or an empty string."""
    comments = f"repos/{repository}/issues/{number}/comments"
    listed, complaint = gh("api", "--paginate", f"{comments}?per_page=100", "--jq", ".[] | {id, body, user} | @json")
    if listed is None:
        return complaint
    user, _ = gh("api", "user", "--jq", ".login")  # a workflow's token is not a user, so this query fails
    own = known(listed, text.split("\n", 1)[0], (user or "").strip() or BOT)
    target = ["--method", "POST", comments]
    if own is not None:
        target = ["--method", "PATCH", f"repos/{repository}/issues/comments/{own}"]
    written, complaint = gh("api", *target, "--input", "-", "--silent", given=json.dumps({"body": text}))
    return "" if written is not None else complaint


def known(listed: str, mark: str, author: str) -> int | None:
    """Return the id of our comment among these, one JSON object per line; ignore others' comments with the marker."""
    for line in filter(None, listed.splitlines()):
        comment: dict[str, Any] = json.loads(line)
        ours = (comment.get("user") or {}).get("login") == author
        if ours and str(comment.get("body") or "").startswith(mark):
            return int(comment["id"])
    return None


def gh(*arguments: str, given: str | None = None) -> tuple[str | None, str]:
    """Return the output of GitHub's command line, and an error message if it fails."""
    try:
        done = subprocess.run(["gh", *arguments], input=given, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None, "The runner does not have gh."
    if done.returncode == 0:
        return done.stdout, ""
    complaint = (done.stderr.strip().splitlines() or ["gh failed"])[0]
    if "HTTP 403" in done.stderr or "HTTP 401" in done.stderr or "not accessible" in done.stderr:
        complaint = f"The token may not write (a pull request from a fork, or no `pull-requests: write`). ({complaint})"
    return None, complaint


if __name__ == "__main__":
    sys.exit(main())
