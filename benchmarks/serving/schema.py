# SPDX-License-Identifier: Apache-2.0
"""S6: requests made from the OpenAPI document by schemathesis: answers of 5xx, and answers outside the schema.

    python -m benchmarks.serving.schema --examples 300

Requests that fit the document and requests that do not; every answer is held to its status, type, headers and body as
the document has them, and what does not fit must be refused. Left out is one check of schemathesis, that all that fits
is accepted: a schema cannot say that a text is a picture, that a list has as many numbers as the model has labels, or
that a field stands once.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .record import Run, options, parser
from .server_process import Served, served

HOOKS = "benchmarks.serving.schema_hooks"
ROOT = Path(__file__).resolve().parents[2]
# A request may also be wrong by its size.
CONFIG = """\
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "413", "415", "422", "429", "431"]
"""
# Many pictures with everybody on them that a threshold of almost 0 lets in take long, and that is no fault.
REQUEST_S = 300
DEADLINE = ("--deadline", str(REQUEST_S))
KEY = "only-for-this-run-4711"
LINE = 400  # a body of pictures makes long ones
EXCLUDED = "positive_data_acceptance"
# The access log counts what the service really answered.
_INFER = "/pedestrian-attribute-recognition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What schemathesis said.

    Attributes:
        code: exit code; 0 when no check failed.
        made: requests. failed: those with a check that failed.
        text: its report.
    """

    code: int
    made: int
    failed: int
    text: str


def schemathesis(
    url: str, *, examples: int, phases: str = "examples,coverage,fuzzing", seed: int = 7, key: str | None = None
) -> Told:
    """Run it against a service.

    Args:
        url: of the service, without a slash at the end.
        examples: requests made at random for each operation and phase.
        phases: of schemathesis, by comma.
        key: shown with every request; those it leaves it out of must be refused.
    """
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        report = Path(folder) / "report.json"
        (Path(folder) / "schemathesis.toml").write_text(CONFIG, "utf-8")
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
        command += ["--exclude-checks", EXCLUDED, "--phases", phases, "--max-examples", str(examples)]
        command += ["--seed", str(seed), "--continue-on-failure", "--no-color", "--warnings", "off"]
        command += ["--request-timeout", str(REQUEST_S)]
        command += ["--report", "json", "--report-json-path", str(report)]
        command += ["--header", f"Authorization: Bearer {key}"] if key else []
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": path}
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        text = ended.stdout + ended.stderr
        said = json.loads(report.read_text("utf-8")) if report.exists() else {}
    cases = said.get("test_cases", {})
    failed = cases.get("with_failures", 0) + cases.get("errored", 0)
    return Told(code=ended.returncode, made=cases.get("generated", 0), failed=failed, text=text)


def answered(log: Path) -> collections.Counter[tuple[str, int]]:
    """How often each path was answered with each status, by the access log."""
    counts: collections.Counter[tuple[str, int]] = collections.Counter()
    for line in log.read_text("utf-8", "replace").splitlines():
        if line.startswith("{"):
            entry: dict[str, Any] = json.loads(line)
            if "path" in entry and entry.get("status"):
                counts[entry["path"], entry["status"]] += 1
    return counts


def measure(service: Served, run: Run, *, examples: int, seed: int) -> bool:
    """All figures; whether no check failed."""
    told = schemathesis(f"http://{service.host}:{service.port}", examples=examples, seed=seed)
    counts = answered(service.log)
    said = [line[:LINE] for line in told.text.splitlines()]
    run.add("requests made from the document", told.made, "> 0")
    run.add("requests in the access log", sum(counts.values()))
    run.add("results of the inferring path (200)", counts[_INFER, 200], "> 0")
    run.add("answers of 5xx", sum(n for (_, status), n in counts.items() if status >= 500), "= 0")
    run.add("requests with a check that failed", told.failed if told.made else None, "= 0")
    run.details = {
        "statuses": {f"{path} {status}": n for (path, status), n in sorted(counts.items()) if path == _INFER},
        "report": said[-120:] if told.code else [],
    }
    if told.code:
        print(*said, sep="\n", file=sys.stderr)
    return told.code == 0


def measure_guarded(service: Served, run: Run) -> bool:
    """The same of a service that asks for a key, which schemathesis also leaves out and breaks."""
    told = schemathesis(f"http://{service.host}:{service.port}", examples=30, phases="coverage,fuzzing", key=KEY)
    refused = sum(n for (_, status), n in answered(service.log).items() if status == 401)
    run.add("with a key: requests made from the document", told.made, "> 0")
    run.add("with a key: refused without it (401)", refused, "> 0")
    run.add("with a key: requests with a check that failed", told.failed if told.made else None, "= 0")
    if told.code:
        print(*(line[:LINE] for line in told.text.splitlines()), sep="\n", file=sys.stderr)
    return told.code == 0


def main() -> int:
    """Exit code 0 when every aim is reached."""
    made = parser(__doc__, "schema")
    made.add_argument("--examples", type=int, default=300, help="requests for each operation; default %(default)s")
    made.add_argument("--seed", type=int, default=7, help="of the random requests; default %(default)s")
    arguments: argparse.Namespace = made.parse_args()
    run = Run(
        command="schema",
        title="S6: requests made from the OpenAPI document",
        folder=arguments.out,
        options=options(arguments),
    )
    with served(DEADLINE, pipeline=arguments.pipeline, workers=arguments.workers) as service:
        open_fine = measure(service, run, examples=arguments.examples, seed=arguments.seed)
    with served((*DEADLINE, "--api-key", KEY), pipeline=arguments.pipeline, workers=arguments.workers) as service:
        guarded_fine = measure_guarded(service, run)
    run.finish()
    return 0 if open_fine and guarded_fine and run.all_reached else 1


if __name__ == "__main__":
    sys.exit(main())
