"""What ComfyUI gets from this pack."""

from __future__ import annotations

from typing import Any

from .assign_identities import HeadsUpAssignIdentities
from .comfy import ComfyExtension
from .compare_identity import HeadsUpCompareIdentity
from .detect_faces import HeadsUpDetectFaces
from .encode_identity import HeadsUpEncodeIdentity
from .faces_to_mask import HeadsUpFacesToMask
from .faces_to_segs import HeadsUpFacesToSEGS
from .fit_identity import HeadsUpFitIdentity
from .inject_identity import HeadsUpInjectIdentity
from .load_face_analyzer import HeadsUpLoadFaceAnalyzer
from .load_idfsr import HeadsUpLoadIDFSR
from .load_model import HeadsUpLoadModel
from .model_files import register_folders
from .plan_upscale import HeadsUpPlanUpscale
from .restore_faces_idfsr import HeadsUpRestoreFacesIDFSR
from .save_load_identity import HeadsUpLoadIdentity, HeadsUpSaveIdentity
from .upscale import HeadsUpUpscale
from .warp_reference import HeadsUpWarpReference


class HeadsUpExtension(ComfyExtension):
    """The nodes, and the model folders that they read."""

    async def get_node_list(self) -> list[type[Any]]:
        register_folders()  # not in on_load(), which 0.3.75 does not call
        return [
            HeadsUpLoadModel,
            HeadsUpUpscale,
            HeadsUpLoadFaceAnalyzer,
            HeadsUpDetectFaces,
            HeadsUpEncodeIdentity,
            HeadsUpSaveIdentity,
            HeadsUpLoadIdentity,
            HeadsUpCompareIdentity,
            HeadsUpFacesToMask,
            HeadsUpFacesToSEGS,
            HeadsUpAssignIdentities,
            HeadsUpInjectIdentity,
            HeadsUpLoadIDFSR,
            HeadsUpFitIdentity,
            HeadsUpWarpReference,
            HeadsUpRestoreFacesIDFSR,
            HeadsUpPlanUpscale,
        ]
