"""Boxes from any detector, attributes from passerby, drawing by supervision.

    pip install passerby supervision
    python examples/supervision_recipe.py street.jpg street_annotated.png

Replace `find_people` by your own detector: all that is needed are (N, 4) boxes x1 y1 x2 y2 in pixels.
"""

from __future__ import annotations

import sys

import cv2
import supervision as sv

from passerby import create_model, create_pipeline


def find_people(image_bgr):  # type: ignore[no-untyped-def]
    """Any detector of yours; here the one that ships with passerby."""
    result = next(create_model("passerby-detector-416").predict(image_bgr, threshold=0.5))
    return sv.Detections(xyxy=result.boxes_xyxy, confidence=result.scores)


def main(source: str, target: str) -> None:
    image_bgr = cv2.imread(source)
    detections = find_people(image_bgr)

    described = create_pipeline().classify(image_bgr, detections.xyxy, labels="en")
    detections.data["attributes"] = [", ".join(x.text for x in person.labels) for person in described.persons]
    detections.data["probabilities"] = described.probabilities

    annotated = sv.BoxAnnotator(color_lookup=sv.ColorLookup.INDEX).annotate(image_bgr.copy(), detections)
    annotated = sv.LabelAnnotator(color_lookup=sv.ColorLookup.INDEX).annotate(
        annotated, detections, labels=[text[:40] for text in detections.data["attributes"]]
    )
    cv2.imwrite(target, annotated)
    for box, text in zip(detections.xyxy, detections.data["attributes"], strict=True):
        print(box.round().astype(int).tolist(), text)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
