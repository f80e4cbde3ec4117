# SPDX-License-Identifier: Apache-2.0
"""Bring the photos that the shipped models learn from onto this machine (docs/training-data.md has it all).

    training_photos.py list                                           sources, their use, licence and commit
    training_photos.py fetch   --mirror MIRROR [SOURCE ...]           repositories at their commit, by git
    training_photos.py extract --mirror MIRROR --photos PHOTOS [SOURCE ...]   PHOTOS/SOURCE/<path in the repository>

Without names: every source that may teach weights of the default models. Both steps may be stopped and called again.
`--use research` or `--use measure` asks for pictures that those weights must not see. Exit code 1: something is
missing.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
from pathlib import Path

from passerby.errors import DatasetError, PasserbyError
from passerby.files import atomic_write
from passerby.training.shipped.photo_sources import (
    USES,
    Extraction,
    PhotoSource,
    SourceFile,
    choose_files,
    choose_sources,
    extract_files,
    held_out_keys,
    load_sources,
)

GITHUB = "https://github.com/"
SHOWN = 10


def git(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run git on a git directory; no hooks, no questions."""
    command = ["git", "--git-dir", str(folder), "-c", "core.hooksPath=/dev/null", *words]
    run = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    if check and run.returncode:
        text = run.stderr.decode("utf-8", "replace").strip().splitlines()
        raise DatasetError("dataset_missing", f"git: {text[-1] if text else run.returncode}", input=str(folder))
    return run


def git_directory(mirror: Path, source: PhotoSource) -> Path | None:
    """The git directory of a repository below `mirror`: `owner+name`, or `repo` in it, bare or with a work tree."""
    base = mirror / source.repo.replace("/", "+")
    tried = (base / "repo" / ".git", base / "repo", base / ".git", base)
    return next((folder for folder in tried if (folder / "objects").is_dir()), None)


def has_commit(folder: Path, commit: str) -> bool:
    """Whether the commit itself is there."""
    return git(folder, "cat-file", "-e", f"{commit}^{{commit}}", check=False).returncode == 0


def fetch(source: PhotoSource, mirror: Path, *, base_url: str) -> None:
    """One commit of a repository, without its history, into `mirror/owner+name`."""
    folder = git_directory(mirror, source)
    if folder is not None and has_commit(folder, source.commit):
        print(f"{source.name}: {source.commit[:12]} is here")
        return
    if folder is None:
        folder = mirror / source.repo.replace("/", "+")
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "--quiet", "--bare")
    git(folder, "fetch", "--quiet", "--depth", "1", f"{base_url}{source.repo}", source.commit)
    print(f"{source.name}: {source.commit[:12]} fetched from {source.repo}")


def read_tree(folder: Path, source: PhotoSource) -> dict[str, str]:
    """Paths and blob ids of the source's commit; links and sub-repositories left out."""
    if not has_commit(folder, source.commit):
        hint = f"training_photos.py fetch {source.name}"
        raise DatasetError("dataset_missing", f"no commit {source.commit[:12]} in it", input=str(folder), hint=hint)
    tree = {}
    for entry in git(folder, "ls-tree", "-r", "-z", source.commit).stdout.split(b"\0"):
        about, _, path = entry.partition(b"\t")
        if about.startswith((b"100644 ", b"100755 ")):
            tree[path.decode("utf-8", "surrogateescape")] = about.split()[2].decode("ascii")
    return tree


class Blobs:
    """Reads blobs by id through one running git; a blob that a partial copy lacks is None. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        command = ["git", "--git-dir", str(folder), "cat-file", "--batch"]
        self._git = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=without_fetching()
        )

    def __enter__(self) -> Blobs:
        return self

    def __exit__(self, *_: object) -> None:
        self._git.communicate()

    def read(self, file: SourceFile) -> bytes | None:
        """The bytes of a blob."""
        assert self._git.stdin is not None
        assert self._git.stdout is not None
        self._git.stdin.write(f"{file.blob}\n".encode())
        self._git.stdin.flush()
        about = self._git.stdout.readline().split()
        if len(about) != 3:  # `<id> missing`
            return None
        data = self._git.stdout.read(int(about[2]))
        self._git.stdout.read(1)
        return data


def without_fetching() -> dict[str, str]:
    """The environment in which git does not go to the network for blobs that a partial copy lacks."""
    return {**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


def extract(source: PhotoSource, mirror: Path, photos: Path, held_out: frozenset[str]) -> Extraction:
    """One source's files to `photos/<name>`, and `photos/<name>.csv` with path, split and blob id of each."""
    folder = git_directory(mirror, source)
    if folder is None:
        hint = f"training_photos.py fetch {source.name}"
        raise DatasetError("dataset_missing", f"no copy of {source.repo}", input=str(mirror), hint=hint)
    files = choose_files(source, read_tree(folder, source), held_out)
    with Blobs(folder) as blobs:
        done = extract_files(files, blobs.read, photos / source.name)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "split", "blob"))
    rows.writerows((f.path, f.split, f.blob) for f in files)
    atomic_write(photos / f"{source.name}.csv", text.getvalue().encode("utf-8", "surrogateescape"))
    counts = {split: sum(f.split == split for f in files) for split in ("train", "val", "measure", "left out")}
    shares = ", ".join(f"{count} {split}" for split, count in counts.items() if count)
    print(f"{source.name}: {done.written} written, {done.present} were there, {len(done.missing)} missing ({shares})")
    for path in done.missing[:SHOWN]:
        print(f"  missing: {path}")
    if len(done.missing) > SHOWN:
        print(f"  and {len(done.missing) - SHOWN} more")
    return done


def run_one(args: argparse.Namespace, source: PhotoSource, held_out: frozenset[str]) -> bool:
    """One command for one source; False when something could not be had, so that the other sources go on."""
    try:
        if args.what == "list":
            print(f"{source.name}: {source.use}; {source.repo}@{source.commit[:12]}; {source.licence}")
        elif args.what == "fetch":
            fetch(source, args.mirror, base_url=args.base_url)
        else:
            return not extract(source, args.mirror, args.photos, held_out).missing
    except PasserbyError as error:
        print(f"{source.name}: {error.message}", file=sys.stderr)
        return False
    return True


def main(words: list[str] | None = None) -> int:
    """Run one command; 1 when something could not be had, and what could is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("list", "fetch", "extract"))
    parser.add_argument("source", nargs="*")
    parser.add_argument("--mirror", type=Path, default=Path("mirror"))
    parser.add_argument("--photos", type=Path, default=Path("photos"))
    parser.add_argument("--use", action="append", choices=USES, help="default: train")
    parser.add_argument("--sources", type=Path, help="another list than the shipped one")
    parser.add_argument("--base-url", default=GITHUB, help="where the repositories lie; a folder works too")
    args = parser.parse_intermixed_args(words)
    try:
        sources = load_sources(args.sources)
        chosen = choose_sources(sources, args.source, uses=args.use or (USES if args.what == "list" else ("train",)))
    except PasserbyError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    held_out = held_out_keys(sources)
    done = [run_one(args, source, held_out) for source in chosen]
    return int(not all(done))


if __name__ == "__main__":
    sys.exit(main())
