"""What ComfyUI gets from this pack."""

from __future__ import annotations

from typing import Any

from .bridge.comfy import ComfyExtension
from .bridge.samples import offer_samples
from .faces.detect_faces import HeadsUpDetectFaces
from .faces.faces_to_mask import HeadsUpFacesToMask
from .faces.faces_to_segs import HeadsUpFacesToSEGS
from .faces.load_face_analyzer import HeadsUpLoadFaceAnalyzer
from .idfsr.load_idfsr import HeadsUpLoadIDFSR
from .idfsr.restore_faces_idfsr import HeadsUpRestoreFacesIDFSR
from .idfsr.warp_reference import HeadsUpWarpReference
from .models.load_model import HeadsUpLoadModel
from .models.model_files import register_folders
from .people.assign_identities import HeadsUpAssignIdentities
from .people.compare_identity import HeadsUpCompareIdentity
from .people.encode_identity import HeadsUpEncodeIdentity
from .people.inject_identity import HeadsUpInjectIdentity
from .people.save_load_identity import HeadsUpLoadIdentity, HeadsUpSaveIdentity
from .upscaling.plan_upscale import HeadsUpPlanUpscale
from .upscaling.restore_portrait import HeadsUpRestorePortrait
from .upscaling.tag_image import HeadsUpTagImage
from .upscaling.upscale import HeadsUpUpscale


class HeadsUpExtension(ComfyExtension):
    """The nodes, and the model folders that they read."""

    async def get_node_list(self) -> list[type[Any]]:
        register_folders()  # not in on_load(), which 0.3.75 does not call
        offer_samples()
        return [
            HeadsUpRestorePortrait,
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
            HeadsUpWarpReference,
            HeadsUpRestoreFacesIDFSR,
            HeadsUpPlanUpscale,
            HeadsUpTagImage,
        ]
