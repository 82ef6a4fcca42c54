"""The node that loads a face analyzer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...headsup_core.faces import BACKENDS, DEFAULT_ANALYZER
from ..bridge.comfy import ComfyNode, FaceAnalyzerSocket, io, schema
from ..bridge.host import DEVICES, ComfyHost
from ..bridge.input_kinds import checked
from ..bridge.option_inputs import advanced_input
from ..models.model_files import fingerprint
from .face_analyzers import KNOWN_PACKS, files_of, load_shared_analyzer, pack_choices

if TYPE_CHECKING:
    from pathlib import Path

    from ...headsup_core.faces.analyzer import AnalyzerBase


class HeadsUpLoadFaceAnalyzer(ComfyNode):
    """`HEADSUP_FACE_ANALYZER` of a backend."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="faces",
            node_id="HeadsUpLoadFaceAnalyzer",
            display_name="HeadsUp Load Face Analyzer",
            description="Loads what finds and recognises faces. The default, dlib, comes with the pack's requirements, "
            "needs no download and may be used commercially. Nothing is ever downloaded by this node.",
            search_aliases=["insightface", "face detection", "face recognition", "face model", "headsup", "人脸识别"],
            inputs=[
                io.Combo.Input("backend", options=list(BACKENDS), default=DEFAULT_ANALYZER, tooltip=_backends()),
                io.Combo.Input(
                    "pack",
                    options=pack_choices(),
                    default=KNOWN_PACKS[0],
                    tooltip="insightface only: the model pack, a folder in models/insightface/models with its .onnx "
                    "files in it or in a folder of the same name in it. Default buffalo_l. The published names are "
                    "always listed; one that is not there gives an error that says where to put it. All published "
                    "packs are for NON-COMMERCIAL research only.",
                ),
                advanced_input(
                    io.Combo,
                    "device",
                    options=list(DEVICES),
                    default="auto",
                    tooltip="Where the networks of insightface and facexlib compute. auto (default): the device that "
                    "ComfyUI uses, as far as the library can. cpu: slower, but takes no GPU memory. dlib, opencv "
                    "and bundled always use the CPU.",
                ),
            ],
            outputs=[
                FaceAnalyzerSocket.Output(
                    "FACE_ANALYZER",
                    display_name="analyzer",
                    tooltip="For the nodes that detect, encode and compare faces. Nodes that get none use dlib.",
                ),
                io.String.Output(
                    "INFO",
                    display_name="info",
                    tooltip="Name, files, licence, whether commercial use is allowed, whether it recognises people.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, pack: str) -> bool:
        """Any pack may be named: it is looked for when it is loaded, with an error that says where."""
        del pack
        return True

    @classmethod
    def fingerprint_inputs(cls, backend: str, pack: str, device: str) -> str:  # ComfyUI's inputs
        return str([fingerprint(path) for path in files_of(backend, pack, ComfyHost.on(device))])

    @classmethod
    @checked
    def execute(cls, backend: str, pack: str, device: str) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        analyzer = load_shared_analyzer(backend, pack, device)
        return io.NodeOutput(analyzer, describe(analyzer, files_of(backend, pack, ComfyHost.on(device))))


def _backends() -> str:
    """What each backend needs and allows, for the tooltip."""
    lines = [f"{name}: needs {backend.needs or 'nothing'}; {backend.licence}" for name, backend in BACKENDS.items()]
    before = "What finds and recognises faces. Default dlib; bundled where dlib cannot be had. "
    *some, last = (name for name, backend in BACKENDS.items() if vars(backend).get("embedder_id") == "")
    return f"{before}{'. '.join(lines)}. {', '.join(some)} and {last} recognise nobody."


def describe(analyzer: AnalyzerBase, files: list[Path]) -> str:
    """What a person wants to know of a loaded analyzer, line by line."""
    allowed = "yes" if analyzer.licence.commercial_use else "NO"
    recognises = f"yes, embeddings {analyzer.embedder_id}" if analyzer.embedder_id else "no: it only finds faces"
    lines = {
        "analyzer": analyzer.name,
        "files": ", ".join(path.name for path in files) or "none needed: they come with its Python package",
        "licence": analyzer.licence.text,
        "commercial use": allowed,
        "recognises people": recognises,
    }
    if hasattr(analyzer, "parses"):
        parses = bool(getattr(analyzer, "parses", False))
        lines["masks by parsing"] = "yes" if parses else "no: parsing_parsenet.pth is missing"
    return "\n".join(f"{name}: {value}" for name, value in lines.items())
