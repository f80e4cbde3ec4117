"""The ten lines of the README.

python examples/quick_start.py [PICTURE]
"""

import sys

from passerby import create_pipeline

pipeline = create_pipeline(pipeline="pedestrian_attribute_recognition")

for result in pipeline.predict(sys.argv[1] if len(sys.argv) > 1 else "street.jpg", labels="en"):
    for person in result.persons:
        print(person.box_xyxy.round().tolist(), [label.text for label in person.labels])
    result.save_to_img("./output/")
    result.save_to_json("./output/")
