# SPDX-License-Identifier: Apache-2.0
"""What the shipped models are worth: figures into one JSON, tables into docs/model-quality.md.

    python -m benchmarks.model_quality --photos PHOTOS --labels LABELS.csv --research RESEARCH --teachers TEACHERS

The command, its options and what it writes are in `__main__`. Pictures come from folders outside the repository; a
folder that is not there leaves its table out and says so. `crop_sets` and `photo_sets` read pictures and truth,
`models` and `teachers` run networks, `attribute_figures` and `detection_figures` are sums of arrays, `parts` puts them
together, `page` writes tables.
"""
