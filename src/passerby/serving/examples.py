# SPDX-License-Identifier: Apache-2.0
"""Requests and answers as people meet them in the reference; tests hold the answers to the schema and run the calls."""

from __future__ import annotations

from typing import Any

CURL = """\
# the picture as it is, with options in the query
curl -H 'Content-Type: image/jpeg' --data-binary @demo.jpg \\
  '{url}?labels=en&visualize=false'

# as a file of a form; several pictures are several parts
curl -F image=@demo.jpg -F image=@other.jpg -F labels=en {url}

# the drawn picture itself
curl -F image=@demo.jpg -F output=image -o out.jpg {url}
"""

PYTHON = """\
import base64
import requests

with open("demo.jpg", "rb") as file:
    image = base64.b64encode(file.read()).decode("ascii")

response = requests.post("{url}", json={{"image": image, "labels": "en"}}, timeout=60)
answer = response.json()
if response.status_code != 200:
    raise SystemExit(answer["errorMsg"])
for pedestrian in answer["result"]["pedestrians"]:
    print(pedestrian["bbox"], [attribute["label"] for attribute in pedestrian["attributes"]])
with open("out.jpg", "wb") as file:
    file.write(base64.b64decode(answer["result"]["image"]))
"""

JAVASCRIPT = """\
import {{ readFile }} from "node:fs/promises";

const response = await fetch("{url}?labels=en&visualize=false", {{
  method: "POST",
  headers: {{ "Content-Type": "image/jpeg" }},
  body: await readFile("demo.jpg"),
}});
const answer = await response.json();
if (!response.ok) throw new Error(answer.errorMsg);
for (const {{ bbox, attributes }} of answer.result.pedestrians) {{
  console.log(bbox, attributes.map(({{ label }}) => label));
}}
"""

CALLS = {"curl": CURL, "Python": PYTHON, "JavaScript": JAVASCRIPT}

_PERSON = {
    "bbox": [87.2, 322.6, 246.3, 739.9],
    "attributes": [{"label": "Trousers", "score": 0.99412}, {"label": "Backpack", "score": 0.93077}],
    "score": 0.91452,
}

ANSWER: dict[str, Any] = {
    "logId": "3b0f6a5e-5f0c-4f0e-9a53-0d7f2f6b8f4e",
    "result": {"pedestrians": [_PERSON], "image": "<base64 JPEG>"},
    "errorCode": 0,
    "errorMsg": "Success",
}

DETAILS: dict[str, Any] = {
    **_PERSON,
    "uncertain": [{"label": "Hat", "score": 0.61804}],
    "colours": {"upper": {"label": "Blue", "score": 0.88031, "decision": "yes"}},
    "judgeable": True,
    "reasons": [],
    "note": None,
    "probabilities": {"hat": 0.61804, "trousers": 0.99412, "backpack": 0.93077},
    "decisions": {"hat": "uncertain", "trousers": "yes", "backpack": "yes"},
}

SEVERAL: dict[str, Any] = {
    "results": [
        {"pedestrians": [_PERSON]},
        {"error": {"name": "image_truncated", "message": "image_truncated: the pixel data ends too early"}},
    ]
}

ERROR: dict[str, Any] = {
    "logId": "3b0f6a5e-5f0c-4f0e-9a53-0d7f2f6b8f4e",
    "errorCode": 422,
    "errorMsg": "request_invalid: there is no field 'det_threshold'; did you mean detThreshold?",
}
