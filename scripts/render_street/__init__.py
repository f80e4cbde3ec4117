"""Renders the bundled demo picture (src/passerby/assets/street.jpg) with Blender Cycles.

    pip install "bpy>=4.5,<4.6" numpy pillow   # Python 3.11, an environment of its own
    PYTHONPATH=src:scripts python -m render_street --assets PATH/makehuman \\
        --samples 40 --out street.png --jpeg src/passerby/assets/street.jpg --truth tests/data/street_truth.json

`people` is the table of who is in the picture, `street` the place, `figures` turns synthesis meshes into
Blender objects, `materials` holds the shaders.
"""
