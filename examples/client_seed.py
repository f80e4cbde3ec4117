# SPDX-License-Identifier: Apache-2.0
"""The request that PaddleX's tutorial shows, unchanged in what goes over the wire; needs `pip install requests`.

python examples/client_seed.py [PICTURE [ADDRESS]]
"""

import base64
import sys
from pathlib import Path

import requests

picture = Path(sys.argv[1] if len(sys.argv) > 1 else "demo.jpg")
address = sys.argv[2] if len(sys.argv) > 2 else "http://localhost:8080"

answer = requests.post(
    f"{address}/pedestrian-attribute-recognition",
    json={"image": base64.b64encode(picture.read_bytes()).decode("ascii")},
    timeout=60,
)
assert answer.status_code == 200, answer.text
result = answer.json()["result"]

Path("out.jpg").write_bytes(base64.b64decode(result["image"]))
print("Output image saved at out.jpg")
for pedestrian in result["pedestrians"]:
    print(pedestrian["bbox"], pedestrian["score"], [a["label"] for a in pedestrian["attributes"]])
