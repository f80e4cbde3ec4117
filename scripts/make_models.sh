#!/bin/sh
# Make the shipped models again from the lists of photos and labels: docs/training-log.md says what each step takes.
# A step whose file is there is left out, and training goes on from its checkpoint: the same command continues a
# stopped run.
#   PHOTOS    folder for the photos, one a source (scripts/training_photos.py fills it)
#   TEACHERS  folder with the frozen networks (docs/training-attributes.md lists them)
#   FIRST     .onnx that the attribute network starts from (the same page)
#   ASSETS    folder of the figures (docs/synthesis.md)
#   WORK      folder for everything made on the way, about 25 GB
set -eu
: "${PHOTOS:?}" "${TEACHERS:?}" "${FIRST:?}" "${ASSETS:?}" "${WORK:?}"
PYTHON=${PYTHON:-.venv-train/bin/python}
export OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=4000000000
detector=$WORK/detector attributes=$WORK/attributes labels=labels
mkdir -p "$detector" "$attributes"

step() { # step FILE COMMAND...: run the command unless FILE is there
    [ -e "$1" ] && return
    echo "== $1" >&2
    shift && "$@"
}
detect() { "$PYTHON" scripts/train_detector.py "$@" --work "$detector"; }
attribute() { "$PYTHON" scripts/train_attributes.py "$@" --work "$attributes"; }

step "$PHOTOS/human_oi_coco" "$PYTHON" scripts/training_photos.py fetch --mirror "$WORK/mirror"
"$PYTHON" scripts/training_photos.py extract --mirror "$WORK/mirror" --photos "$PHOTOS"

# detector: boxes, features and scores of the teacher
step "$detector/packed/photos.json" detect pack --photos "$PHOTOS"
step "$detector/teacher_boxes.npz" detect teach --teacher "$TEACHERS"
detect train --run "$detector/run1" --teacher "$TEACHERS" --distil 1.5:3:1:1.5 \
    --stages 3000:128,160,192:0.3 3000:192,224,256:0.3
detect train --run "$detector/run2" --teacher "$TEACHERS" --distil 1.5:3:1:1.5 \
    --weights "$detector/run1/weights.npz" --seed 31 --learning-rate 0.0014 --warmup 200 --atss-iterations 0 \
    --stages 5000:192,256,320:0.3
detect train --run "$detector/run3" --teacher "$TEACHERS" --distil 0.7:1.5:2:1.5 \
    --weights "$detector/run2/weights.npz" --seed 32 --learning-rate 0.0007 --warmup 50 --atss-iterations 0 \
    --stages 1850:320,384,416:0.1:gentle
detect train --run "$detector/run4" --teacher "$TEACHERS" --distil 1:2:1.5:1.5 \
    --weights "$detector/run3/weights.npz" --seed 41 --learning-rate 0.0014 --warmup 200 --atss-iterations 0 \
    --stages 6000:224,288,352:0.2
detect train --run "$detector/run5" --teacher "$TEACHERS" --distil 0.7:1.5:2:1.5 \
    --weights "$detector/run4/weights.npz" --seed 42 --learning-rate 0.0007 --warmup 50 --atss-iterations 0 \
    --stages 3300:320,384,416:0.1:gentle
step "$detector/run5/final.npz" detect finish --run "$detector/run5"

# attributes: renders, opinions of the teachers, student
step "$PHOTOS/rendered/train.txt" "$PYTHON" -m passerby synthesise "$PHOTOS/rendered" --count 6000 --seed 1 \
    --assets "$ASSETS" --backgrounds "$PHOTOS/oi_vehicles"
step "$attributes/store/boxes.jsonl" attribute prepare --photos "$PHOTOS" --boxes "$labels/persons.csv" \
    --labels "$labels/first.csv" "$labels/second.csv" "$labels/third.csv"
step "$attributes/features_unlabelled.npz" attribute features --teachers "$TEACHERS"
step "$attributes/teacher.json" attribute teach
attribute train --run "$attributes/run" --first "$FIRST" --weight-decay 0.04 \
    --stages 2400:128x96:0.4:0.5:8 3600:192x144:0.45:0.4:6 500:256x192:0.45:0.45:4
step "$attributes/out/final.npz" attribute finish --run "$attributes/run" --out "$attributes/out"
echo "weights: $detector/run5/final.npz, $attributes/out/final.npz; cards and files: docs/model-cards.md"
