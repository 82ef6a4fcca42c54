"""The published model files that the user can ask for: where they are, what they are, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"
INSIGHTFACE = "https://github.com/deepinsight/insightface/releases/download/v0.7"
RESEARCH_ONLY = "InsightFace: non-commercial research only"


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes:
        name: what the user types.
        kind: folder below ComfyUI's `models`.
        file: its name; for a pack that of the zip archive, which is unpacked to `models/NAME` below the kind's folder,
            where InsightFace looks.
        url: https, of one fixed version.
        sha256: of the file at `url`, in hexadecimal.
        size: of the file at `url`, in bytes.
        licence: of the weights.
        commercial: whether that licence allows commercial use.
        networks: for a pack, (file, sha256) of the networks that are used, by which an unpacked pack is recognised.
    """

    name: str
    kind: str
    file: str
    url: str
    sha256: str
    size: int
    licence: str
    commercial: bool
    networks: tuple[tuple[str, str], ...] = ()

    def target(self, folder: Path) -> Path:
        """Where it goes when `folder` is the kind's folder: a file, or the folder of a pack."""
        return folder / "models" / self.name if self.networks else folder / self.file


# The sha256 of the SCRFD-10G detector, which two packs hold under different names.
_SCRFD_10G = "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"

DOWNLOADS: tuple[Download, ...] = (
    # OpenCV Zoo's large files moved from GitHub (LFS budget spent) to the same maintainers' Hugging Face account.
    Download(
        "yunet",
        "facedetection",
        "face_detection_yunet_2023mar.onnx",
        "https://huggingface.co/opencv/face_detection_yunet/resolve/3cc26e7f1014a5ee5d74a42acee58bafc9d0a310/"
        "face_detection_yunet_2023mar.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        232_589,
        "MIT",
        commercial=True,
    ),
    Download(
        "sface",
        "facedetection",
        "face_recognition_sface_2021dec.onnx",
        "https://huggingface.co/opencv/face_recognition_sface/resolve/3d7082438a6e4551e840c9b2bb60b71e8da4b524/"
        "face_recognition_sface_2021dec.onnx",
        "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        38_696_353,
        "Apache-2.0",
        commercial=True,
    ),
    Download(
        "retinaface",
        "facedetection",
        "detection_Resnet50_Final.pth",
        f"{FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth",
        "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        109_497_761,
        "MIT (Pytorch_Retinaface)",
        commercial=True,
    ),
    Download(
        "retinaface-mobile",
        "facedetection",
        "detection_mobilenet0.25_Final.pth",
        f"{FACEXLIB}/v0.1.0/detection_mobilenet0.25_Final.pth",
        "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        1_789_735,
        "MIT (Pytorch_Retinaface)",
        commercial=True,
    ),
    # facexlib took it from PSFRGAN, whose licence excludes commercial use.
    Download(
        "parsenet",
        "facedetection",
        "parsing_parsenet.pth",
        f"{FACEXLIB}/v0.2.2/parsing_parsenet.pth",
        "3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
        85_331_193,
        "CC BY-NC-SA 4.0 (PSFRGAN)",
        commercial=False,
    ),
    Download(
        "buffalo_l",
        "insightface",
        "buffalo_l.zip",
        f"{INSIGHTFACE}/buffalo_l.zip",
        "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
        288_621_354,
        RESEARCH_ONLY,
        commercial=False,
        networks=(
            ("det_10g.onnx", _SCRFD_10G),
            ("w600k_r50.onnx", "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"),
        ),
    ),
    Download(
        "buffalo_s",
        "insightface",
        "buffalo_s.zip",
        f"{INSIGHTFACE}/buffalo_s.zip",
        "d85a87f503f691807cd8bb97128bdf7a0660326cd9cd02657127fa978bab8b5e",
        127_607_557,
        RESEARCH_ONLY,
        commercial=False,
        networks=(
            ("det_500m.onnx", "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a"),
            ("w600k_mbf.onnx", "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f"),
        ),
    ),
    Download(
        "antelopev2",
        "insightface",
        "antelopev2.zip",
        f"{INSIGHTFACE}/antelopev2.zip",
        "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
        360_662_982,
        RESEARCH_ONLY,
        commercial=False,
        networks=(
            ("scrfd_10g_bnkps.onnx", _SCRFD_10G),
            ("glintr100.onnx", "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf"),
        ),
    ),
)
