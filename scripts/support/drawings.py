"""The workflows that come with the pack, as drawings; `scripts/draw_workflows` writes their files."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from .drawing import SLOT, WIDGET, Drawing, Node, Output
from .workflow import Schema

NOTES = Path(__file__).resolve().parents[1] / "workflow_notes"
TINY = "headsup-tiny (bundled)"
IDFSR_TINY = "idfsr-tiny (bundled)"
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
BLUE, GREEN, BROWN = "#3f789e", "#8A8", "#b06634"
SIDE = 340  # width of a column
INPUT_NODE, OUTPUT_NODE = -10, -20  # ids that the page gives to a subgraph's own ends
LINK_FIELDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


def portrait_upscale(schemas: dict[str, Schema]) -> Drawing:
    sheet = Drawing("portrait_upscale", schemas)
    sheet.column(360)
    sheet.note(note_of(sheet), 250)
    sheet.column(SIDE)
    with sheet.group("1 · Picture"):
        photo = load_image(sheet, "headsup_sample.png")
    with sheet.group("2 · Model"):
        model = sheet.add("HeadsUpLoadModel", model=TINY)
        sheet.add("PreviewAny", "Model info", 230, source=model["info"])
    sheet.column(SIDE)
    with sheet.group("3 · Upscale"):
        upscale = sheet.add("HeadsUpUpscale", model=model["model"], image=photo["IMAGE"])
    results(sheet, upscale, "HeadsUp")
    return sheet


def portrait_reference(schemas: dict[str, Schema]) -> Drawing:
    sheet = Drawing("portrait_reference", schemas)
    sheet.column(360)
    sheet.note(note_of(sheet), 330)
    sheet.column(SIDE)
    with sheet.group("1 · Portrait"):
        photo = load_image(sheet, "headsup_sample.png")
    with sheet.group("2 · Reference", GREEN):
        reference = load_image(sheet, "headsup_reference.png", "Photo of the same person")
        person = sheet.add("HeadsUpEncodeIdentity", photos=reference["IMAGE"], name="person")
    sheet.column(SIDE)
    with sheet.group("3 · Upscale"):
        model = sheet.add("HeadsUpLoadModel", model=TINY)
        known = sheet.add("HeadsUpInjectIdentity", model=model["model"], identities=person["identities"])
        upscale = sheet.add("HeadsUpUpscale", model=known["model"], image=photo["IMAGE"])
    results(sheet, upscale, "HeadsUp_reference", who=True)
    return sheet


def group_photo(schemas: dict[str, Schema]) -> Drawing:
    sheet = Drawing("group_photo", schemas)
    sheet.column(360)
    sheet.note(note_of(sheet), 300)
    with sheet.group("Group photo"):
        photo = load_image(sheet, "headsup_group.png")
    people: Output | None = None
    for number, name in enumerate(("Anna", "Ben", "Chloe"), 1):
        sheet.column(300)
        with sheet.group(f"Person {number}", GREEN):
            portrait = load_image(sheet, f"headsup_person_{number}.png", f"Photo of {name}")
            encoded = sheet.add("HeadsUpEncodeIdentity", photos=portrait["IMAGE"], name=name, identities=people)
            people = encoded["identities"]
    sheet.column(SIDE)
    with sheet.group("Who is who"):
        found = sheet.add("HeadsUpDetectFaces", image=photo["IMAGE"])
        inputs = {"image": photo["IMAGE"], "faces": found["faces"], "identities": people}
        assigned = sheet.add("HeadsUpAssignIdentities", **inputs)
    sheet.column(SIDE)
    with sheet.group("Upscale"):
        model = sheet.add("HeadsUpLoadModel", model=TINY)
        known = sheet.add("HeadsUpInjectIdentity", model=model["model"], identities=people)
        inputs = {"model": known["model"], "image": photo["IMAGE"], "faces": assigned["faces"]}
        upscale = sheet.add("HeadsUpUpscale", **inputs)
    results(sheet, upscale, "HeadsUp_group", who=True)
    return sheet


def old_scan(schemas: dict[str, Schema]) -> Drawing:
    sheet = Drawing("old_scan", schemas)
    sheet.column(360)
    sheet.note(note_of(sheet), 290)
    sheet.column(SIDE)
    with sheet.group("1 · Scan"):
        scan = load_image(sheet, "headsup_old_scan.png")
        half = sheet.add("ImageScaleBy", "Halve the scan", image=scan["IMAGE"], upscale_method="area", scale_by=0.5)
        found = sheet.add("HeadsUpDetectFaces", image=half["IMAGE"])
    sheet.column(SIDE)
    with sheet.group("2 · Restore"):
        model = sheet.add("HeadsUpLoadModel", model=TINY)
        inputs = {"model": model["model"], "image": half["IMAGE"], "faces": found["faces"]}
        upscale = sheet.add("HeadsUpUpscale", **inputs, strength=0.85, color_fix="lab")
    results(sheet, upscale, "HeadsUp_scan")
    return sheet


def identity_fitting(schemas: dict[str, Schema]) -> Drawing:
    sheet = Drawing("identity_fitting", schemas)
    sheet.column(360)
    sheet.note(note_of(sheet), 390)
    sheet.column(300)
    people: Output | None = None
    photos: list[Node] = []
    with sheet.group("1 · Photos of the person", GREEN):
        photos += [load_image(sheet, f"headsup_fit_{number}.png", f"Photo {number}") for number in (1, 2, 3)]
    sheet.column(300)
    with sheet.group("2 · Identity", GREEN):
        for number, photo in enumerate(photos, 1):
            inputs = {"photos": photo["IMAGE"], "name": "person", "identities": people}
            encoded = sheet.add("HeadsUpEncodeIdentity", f"Encode photo {number}", **inputs)
            people = encoded["identities"]
    sheet.column(SIDE)
    with sheet.group("Model", BLUE):
        model = sheet.add("HeadsUpLoadIDFSR", model=IDFSR_TINY)
    with sheet.group("3 · Fit and save", GREEN):
        fitted = sheet.add("HeadsUpFitIdentity", identities=people, model=model["idfsr model"])
        sheet.add("HeadsUpSaveIdentity", identities=fitted["identities"], prefix="fitted_")
        sheet.add("PreviewImage", "Loss curve", images=fitted["loss curve"])
        sheet.add("PreviewAny", "Fitting report", 160, source=fitted["report"])
    sheet.column(SIDE)
    with sheet.group("4 · Use it (again)"):
        known = sheet.add("HeadsUpLoadIdentity", identities=fitted["identities"])
        photo = load_image(sheet, "headsup_tiny_face.png", "Picture with a tiny face")
        large = sheet.add("ImageScaleBy", "Enlarge", image=photo["IMAGE"], upscale_method="bicubic", scale_by=4.0)
    sheet.column(SIDE)
    with sheet.group("Restore the face"):
        found = sheet.add("HeadsUpDetectFaces", image=large["IMAGE"])
        inputs = {"image": large["IMAGE"], "faces": found["faces"], "identities": known["identities"]}
        assigned = sheet.add("HeadsUpAssignIdentities", **inputs)
        inputs |= {"faces": assigned["faces"], "idfsr_model": model["idfsr model"]}
        restored = sheet.add("HeadsUpRestoreFacesIDFSR", **inputs)
    sheet.column(420)
    with sheet.group("Result", BROWN):
        sheet.add("SaveImage", "After", 420, images=restored["image"], filename_prefix="HeadsUp_identity")
        sheet.add("PreviewImage", "Before: enlarged only", 420, images=large["IMAGE"])
        sheet.add("PreviewAny", "Report", 200, source=restored["report"])
    return sheet


def batch_folder(schemas: dict[str, Schema]) -> Drawing:
    sheet = Drawing("batch_folder", schemas)
    sheet.column(360)
    sheet.note(note_of(sheet), 290)
    sheet.column(SIDE)
    with sheet.group("1 · Folder"):
        pictures = sheet.add("LoadImageDataSetFromFolder", folder="headsup_batch")
        found = sheet.add("HeadsUpDetectFaces", image=pictures["images"])
    sheet.column(SIDE)
    with sheet.group("2 · Upscale"):
        model = sheet.add("HeadsUpLoadModel", model=TINY)
        inputs = {"model": model["model"], "image": pictures["images"], "faces": found["faces"]}
        upscale = sheet.add("HeadsUpUpscale", **inputs)
    sheet.column(420)
    with sheet.group("Results", BROWN):
        sheet.add("SaveImage", "After", 420, images=upscale["image"], filename_prefix="HeadsUp_batch/picture")
        sheet.add("PreviewAny", "Report", 300, source=upscale["report"])
    return sheet


def compare_systems(schemas: dict[str, Schema]) -> Drawing:
    sheet = Drawing("compare_systems", schemas)
    sheet.column(360)
    sheet.note(note_of(sheet), 350)
    with sheet.group("Picture"):
        photo = load_image(sheet, "headsup_sample.png")
    upscaled: list[Node] = []
    for letter, strength, color in (("A", 1.0, BLUE), ("B", 0.5, GREEN)):
        sheet.column(SIDE)
        with sheet.group(f"System {letter}", color):
            model = sheet.add("HeadsUpLoadModel", f"System {letter}: model", model=TINY)
            inputs = {"model": model["model"], "image": photo["IMAGE"], "strength": strength}
            upscaled.append(sheet.add("HeadsUpUpscale", f"System {letter}: upscale", **inputs))
    sheet.column(SIDE)
    with sheet.group("Identity"):
        for letter, node in zip("AB", upscaled, strict=True):
            pair = {"image_a": node["before"], "image_b": node["image"], "no_face": "pass through"}
            compared = sheet.add("HeadsUpCompareIdentity", f"Identity: input and {letter}", **pair)
            sheet.add("PreviewAny", f"{letter} in words", 110, source=compared["verdict"])
    sheet.column(820)
    with sheet.group("Plain enlargement | A | B", BROWN):
        first, second = upscaled
        strip: Output = first["before"]
        for letter, node in zip("AB", (first, second), strict=True):
            pair = {"image1": strip, "image2": node["image"], "spacing_width": 8}
            strip = sheet.add("ImageStitch", f"Put {letter} beside", **pair)["IMAGE"]
        sheet.add("SaveImage", "Side by side", 460, images=strip, filename_prefix="HeadsUp_compare")
        sheet.add("PreviewAny", "Report of A", 180, source=first["report"])
        sheet.add("PreviewAny", "Report of B", 180, source=second["report"])
    return sheet


def text_to_image_faces(schemas: dict[str, Schema]) -> Drawing:
    sheet = Drawing("text_to_image_faces", schemas)
    sheet.column(360)
    sheet.note(note_of(sheet), 340)
    sheet.column(SIDE)
    with sheet.group("1 · Text to image", GREEN):
        loaded = sheet.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT)
        good = sheet.add("CLIPTextEncode", "Prompt", clip=loaded["CLIP"], text="photo of a couple in a street cafe, "
                         "full length, morning light")  # fmt: skip
        bad = sheet.add("CLIPTextEncode", "Not wanted", clip=loaded["CLIP"], text="drawing, text, watermark")
        size = sheet.add("EmptyLatentImage", width=512, height=512)
        words = {"model": loaded["MODEL"], "positive": good["CONDITIONING"], "negative": bad["CONDITIONING"]}
        sampler = {"sampler_name": "dpmpp_2m", "scheduler": "karras", "steps": 20, "cfg": 7.0, "seed": 1}
        drawn = sheet.add("KSampler", **words, latent_image=size["LATENT"], **sampler)
        picture = sheet.add("VAEDecode", samples=drawn["LATENT"], vae=loaded["VAE"])
    sheet.column(SIDE)
    with sheet.group("2 · HeadsUp"):
        found = sheet.add("HeadsUpDetectFaces", image=picture["IMAGE"], min_eye_distance=6.0)
        model = sheet.add("HeadsUpLoadModel", model=TINY)
        inputs = {"model": model["model"], "image": picture["IMAGE"], "faces": found["faces"]}
        upscale = sheet.add("HeadsUpUpscale", **inputs, scale=2.0)
    sheet.column(SIDE)
    with sheet.group("3 · Face detail"):
        faces = {"faces": upscale["faces"], "image": upscale["image"]}
        mask = sheet.add("HeadsUpFacesToMask", **faces, grow=0.3)
        encoded = sheet.add("VAEEncode", pixels=upscale["image"], vae=loaded["VAE"])
        masked = sheet.add("SetLatentNoiseMask", samples=encoded["LATENT"], mask=mask["mask"])
        again = sheet.add("KSampler", **words, latent_image=masked["LATENT"], **sampler, denoise=0.3)
        painted = sheet.add("VAEDecode", samples=again["LATENT"], vae=loaded["VAE"])
        parts = {"destination": upscale["image"], "source": painted["IMAGE"], "mask": mask["mask"]}
        detailed = sheet.add("ImageCompositeMasked", "Faces only", **parts)
    with sheet.group("For Impact Pack (not needed)", "#888"):
        sheet.add("HeadsUpFacesToSEGS", **faces)
    sheet.column(420)
    with sheet.group("Results", BROWN):
        sheet.add("SaveImage", "After the face detail", 420, images=detailed["IMAGE"], filename_prefix="HeadsUp_text")
        sheet.add("PreviewImage", "After HeadsUp", 420, images=upscale["image"])
        sheet.add("PreviewImage", "From the text", 420, images=picture["IMAGE"])
    return sheet


def note_of(sheet: Drawing) -> str:
    """The explanations inside a workflow."""
    return (NOTES / f"{sheet.name}.md").read_text(encoding="utf-8").strip()


def load_image(sheet: Drawing, name: str, title: str = "") -> Node:
    """A picture of the input folder."""
    return sheet.add("LoadImage", title, 330, image=name)


def results(sheet: Drawing, upscale: Node, prefix: str, *, who: bool = False) -> None:
    """Two columns: after with the report, before with (if asked for) names and scores."""
    sheet.column(420)
    with sheet.group("After", BROWN):
        sheet.add("SaveImage", "After", 460, images=upscale["image"], filename_prefix=prefix)
        sheet.add("PreviewAny", "Report", 260, source=upscale["report"])
    sheet.column(420)
    with sheet.group("Before", BROWN):
        sheet.add("PreviewImage", "Before", 460, images=upscale["before"])
    if who:
        with sheet.group("Who is who", BROWN):
            sheet.add("PreviewImage", "Names, identity before -> after", 460, images=upscale["preview"])


WORKFLOWS = (
    portrait_upscale, portrait_reference, group_photo, old_scan, identity_fitting, batch_folder, compare_systems,
    text_to_image_faces,
)  # fmt: skip

BLUEPRINT = "HeadsUp Upscale Known People"
BLUEPRINT_DESCRIPTION = (
    "Upscales portraits and group photos: loads the model, finds the faces, and restores those of known people after "
    "their photos (identities: from HeadsUp Encode or Load Identity)."
)
BLUEPRINT_ENDS = {
    "inputs": {"image": ("HeadsUpDetectFaces", "HeadsUpUpscale"), "identities": ("HeadsUpInjectIdentity",)},
    "outputs": {"HeadsUpUpscale": ("image", "before", "report", "faces", "preview")},
}
BLUEPRINT_WIDGETS = {  # node -> widgets that the closed subgraph shows
    "HeadsUpLoadModel": ("model",),
    "HeadsUpInjectIdentity": ("strength", "match_threshold"),
    "HeadsUpUpscale": ("scale", "long_edge", "color_fix", "identity_gate"),
}


def blueprint(schemas: dict[str, Schema]) -> dict[str, Any]:
    """The most used part as a subgraph blueprint: load the model, detect faces, inject people, upscale."""
    sheet = Drawing(BLUEPRINT, schemas)
    sheet.column(SIDE)
    model = sheet.add("HeadsUpLoadModel", model=TINY)
    found = sheet.add("HeadsUpDetectFaces", tall=230)
    sheet.column(SIDE)
    known = sheet.add("HeadsUpInjectIdentity", model=model["model"])
    sheet.add("HeadsUpUpscale", model=known["model"], faces=found["faces"])
    return as_blueprint(sheet, BLUEPRINT_ENDS["inputs"], BLUEPRINT_ENDS["outputs"], BLUEPRINT_WIDGETS)


def as_blueprint(
    sheet: Drawing,
    inputs: dict[str, tuple[str, ...]],
    outputs: dict[str, tuple[str, ...]],
    widgets: dict[str, tuple[str, ...]],
) -> dict[str, Any]:
    """A drawing of different nodes, packed into one subgraph node that stands alone in a workflow.

    Args:
        inputs: the subgraph's inputs, each with the nodes that it goes to, under the same name there.
        outputs: nodes with the outputs of theirs that leave the subgraph.
        widgets: nodes with the widgets of theirs that the subgraph shows.
    """
    name = sheet.name
    nodes = {node.entry["type"]: node for node in sheet.nodes}
    links = [dict(zip(LINK_FIELDS, link, strict=True)) for link in sheet.links]
    entering: list[dict[str, Any]] = []
    for slot, (key, targets) in enumerate(inputs.items()):
        numbers: list[int] = []
        for target in targets:
            place, entry = next((i, e) for i, e in enumerate(nodes[target].entry["inputs"]) if e["name"] == key)
            entry["link"] = len(links) + 1
            numbers.append(entry["link"])
            ends = (entry["link"], INPUT_NODE, slot, nodes[target].entry["id"], place, entry["type"])
            links.append(dict(zip(LINK_FIELDS, ends, strict=True)))
        entering.append({"id": identifier(name, key), "name": key, "type": links[-1]["type"], "linkIds": numbers})
    leaving: list[dict[str, Any]] = []
    for source, keys in outputs.items():
        for key in keys:
            place = nodes[source].schema["output_name"].index(key)
            entry = nodes[source].entry["outputs"][place]
            number = len(links) + 1
            entry["links"] = [*(entry["links"] or []), number]
            ends = (number, nodes[source].entry["id"], place, OUTPUT_NODE, len(leaving), entry["type"])
            links.append(dict(zip(LINK_FIELDS, ends, strict=True)))
            leaving.append(
                {"id": identifier(name, f"{key} out"), "name": key, "type": entry["type"], "linkIds": [number]}
            )
    right = max(node.entry["pos"][0] + node.entry["size"][0] for node in sheet.nodes)
    definition = {
        "id": identifier(name, "definition"),
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": len(nodes), "lastLinkId": len(links), "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": name,
        "category": "HeadsUp",
        "inputNode": {"id": INPUT_NODE, "bounding": [-220, 200, 120, 40 + SLOT * len(entering)]},
        "outputNode": {"id": OUTPUT_NODE, "bounding": [right + 100, 200, 120, 40 + SLOT * len(leaving)]},
        "inputs": entering,
        "outputs": leaving,
        "widgets": [],
        "nodes": [node.entry for node in sheet.nodes],
        "groups": [],
        "links": links,
        "extra": {},
    }
    shown = [[str(nodes[kind].entry["id"]), widget] for kind, names in widgets.items() for widget in names]
    closed = {
        "id": len(nodes) + 1,
        "type": definition["id"],
        "title": name,
        "pos": [0, 0],
        "size": [SIDE, len(leaving) * SLOT + len(shown) * WIDGET + 16],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [{"name": entry["name"], "type": entry["type"], "link": None} for entry in entering],
        "outputs": [{"name": entry["name"], "type": entry["type"], "links": []} for entry in leaving],
        "properties": {"proxyWidgets": shown},
        "widgets_values": [],
    }
    return {
        "id": identifier(name, "workflow"),
        "revision": 0,
        "last_node_id": closed["id"],
        "last_link_id": 0,
        "nodes": [closed],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [definition]},
        "extra": {
            "BlueprintDescription": BLUEPRINT_DESCRIPTION,
            "BlueprintSearchAliases": ["face restore", "reference"],
        },
    }


def identifier(name: str, part: str) -> str:
    """An id that stays the same whenever the file is written."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"headsup/subgraphs/{name}/{part}"))
