"""The workflows that come with the pack, as drawings; `scripts/draw_workflows` writes their files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .drawing import Drawing, Node
from .workflow import Schema

NOTES = Path(__file__).resolve().parents[1] / "workflow_notes"
TINY = "headsup-tiny (bundled)"
IDFSR_TINY = "idfsr-tiny (bundled)"
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
BLUE, GREEN, BROWN = "#3f789e", "#8A8", "#b06634"
SIDE = 340  # width of a column


def portrait(schemas: dict[str, Schema]) -> Drawing:
    sheet = begin("Restore a portrait", schemas, "A small or blurred portrait, four times as large and sharp.", 260)
    sheet.column(SIDE)
    with sheet.group("1 · Picture"):
        photo = load_image(sheet, "headsup_portrait.jpg", "Your picture")
    sheet.column(SIDE)
    with sheet.group("2 · Restore"):
        restored = sheet.add("HeadsUpFaceRestorePortrait", image=photo["IMAGE"])
    results(sheet, restored, "HeadsUp")
    app(sheet, {photo: ("image",), restored: ("scale",)})
    return sheet


def portrait_with_photo(schemas: dict[str, Schema]) -> Drawing:
    said = "A good photo of the same person keeps the restored face theirs."
    sheet = begin("Restore a portrait with a photo of the person", schemas, said, 400)
    sheet.column(SIDE)
    with sheet.group("1 · Picture"):
        picture = load_image(sheet, "headsup_portrait.jpg", "Your picture")
    with sheet.group("2 · Photo of the same person", GREEN):
        photo = load_image(sheet, "headsup_photo.jpg", "A good photo")
    sheet.column(SIDE)
    with sheet.group("3 · Restore"):
        inputs = {"image": picture["IMAGE"], "photos.photo_1": photo["IMAGE"]}
        restored = sheet.add("HeadsUpFaceRestorePortrait", **inputs)
    results(sheet, restored, "HeadsUp_photo")
    app(sheet, {picture: ("image",), photo: ("image",), restored: ("person_strength", "scale")})
    return sheet


def group_photo(schemas: dict[str, Schema]) -> Drawing:
    said = "Each person in a group photo is restored after their own photo."
    sheet = begin("Restore a group photo", schemas, said, 330)
    sheet.column(SIDE)
    with sheet.group("1 · Group photo"):
        picture = load_image(sheet, "headsup_group.jpg", "Your group photo")
    with sheet.group("2 · A photo of each person", GREEN):
        people = [load_image(sheet, f"headsup_person_{number}.jpg", f"Person {number}") for number in (1, 2, 3)]
    sheet.column(SIDE)
    with sheet.group("3 · Restore"):
        sockets = ("photos.photo_1", "person_2.person_2_photo_1", "person_3.person_3_photo_1")
        inputs = {name: photo["IMAGE"] for name, photo in zip(sockets, people, strict=True)}
        restored = sheet.add("HeadsUpFaceRestorePortrait", image=picture["IMAGE"], **inputs)
    results(sheet, restored, "HeadsUp_group")
    return sheet


def old_scan(schemas: dict[str, Schema]) -> Drawing:
    sheet = begin("Restore an old scan", schemas, "A scanned print: its tint stays, grain and blur go.", 330)
    sheet.column(SIDE)
    with sheet.group("1 · Scan"):
        scan = load_image(sheet, "headsup_old_scan.jpg", "Your scan")
    sheet.column(SIDE)
    with sheet.group("2 · Smaller first"):
        half = sheet.add("ImageScaleBy", "Halve the scan", image=scan["IMAGE"], upscale_method="area", scale_by=0.5)
    with sheet.group("Model"):
        model = sheet.add("HeadsUpLoadModel", model=TINY)
    sheet.column(SIDE)
    with sheet.group("3 · Restore"):
        inputs = {"model": model["model"], "image": half["IMAGE"], "strength": 0.85, "color_fix": "lab"}
        upscale = sheet.add("HeadsUpUpscale", **inputs)
    results(sheet, upscale, "HeadsUp_scan")
    return sheet


def folder(schemas: dict[str, Schema]) -> Drawing:
    sheet = begin("Restore a folder of pictures", schemas, "All pictures of a folder, whatever their sizes.", 330)
    sheet.column(SIDE)
    with sheet.group("1 · Folder"):
        pictures = sheet.add("LoadImageDataSetFromFolder", folder="headsup_batch")
    sheet.column(SIDE)
    with sheet.group("2 · Restore"):
        restored = sheet.add("HeadsUpFaceRestorePortrait", image=pictures["images"])
    sheet.column(460)
    with sheet.group("Results", BROWN):
        sheet.add("SaveImage", "After", 520, images=restored["image"], filename_prefix="HeadsUp_batch/picture")
        sheet.add("PreviewAny", "Report", 340, source=restored["report"])
    return sheet


def compare_models(schemas: dict[str, Schema]) -> Drawing:
    said = "The same picture by two models, with what each does to the likeness."
    sheet = begin("Compare two models", schemas, said, 400)
    sheet.column(SIDE)
    with sheet.group("Picture"):
        photo = load_image(sheet, "headsup_portrait.jpg", "Your picture")
    models: list[Node] = []
    for letter, color in (("A", BLUE), ("B", GREEN)):
        with sheet.group(f"Model {letter}", color):
            models.append(sheet.add("HeadsUpLoadModel", f"Model {letter}", model=TINY))
    sheet.column(SIDE)
    upscaled: list[Node] = []
    for letter, strength, color, model in zip("AB", (1.0, 0.5), (BLUE, GREEN), models, strict=True):
        with sheet.group(f"Upscale {letter}", color):
            inputs = {"model": model["model"], "image": photo["IMAGE"], "strength": strength}
            upscaled.append(sheet.add("HeadsUpUpscale", f"Upscale {letter}", **inputs))
    first, second = upscaled
    sheet.column(520)
    with sheet.group("A | B (slider: Nodes 2.0)", BROWN):
        sheet.add("ImageCompare", "A | B", 560, image_a=first["image"], image_b=second["image"])
    with sheet.group("Files", BROWN):
        for letter, node in zip("AB", upscaled, strict=True):
            result = {"images": node["image"], "filename_prefix": f"HeadsUp_{letter}"}
            sheet.add("SaveImage", f"Result of {letter}", 420, **result)
    sheet.column(SIDE)
    compared: list[Node] = []
    with sheet.group("Is it still the same person?"):
        for letter, node in zip("AB", upscaled, strict=True):
            pair = {"image_a": node["before"], "image_b": node["image"], "no_face": "pass through"}
            compared.append(sheet.add("HeadsUpCompareIdentity", f"Input and {letter}", **pair))
    sheet.column(SIDE)
    with sheet.group("In words", BROWN):
        for letter, node in zip("AB", compared, strict=True):
            sheet.add("PreviewAny", f"Input and {letter}", 180, source=node["verdict"])
        for letter, node in zip("AB", upscaled, strict=True):
            sheet.add("PreviewAny", f"Report of {letter}", 260, source=node["report"])
    return sheet


def tiny_faces(schemas: dict[str, Schema]) -> Drawing:
    said = "A face of 8 to 16 px and a photo of the person, by the model for such faces and by the usual one."
    sheet = begin("Restore a tiny face (IDFSR)", schemas, said, 500)
    sheet.column(SIDE)
    with sheet.group("1 · Picture with a tiny face"):
        picture = load_image(sheet, "headsup_tiny_face.jpg", "Your picture")
    with sheet.group("2 · Photo of the same person", GREEN):
        photo = load_image(sheet, "headsup_fit.jpg", "A good photo")
    sheet.column(SIDE)
    models: dict[str, Node] = {}
    for file, color in ((IDFSR_TINY, BLUE), (TINY, GREEN)):
        name = file.removesuffix(" (bundled)")
        with sheet.group(f"Model {name}", color):
            models[name] = sheet.add("HeadsUpLoadModel", name, model=file)
    sheet.column(SIDE)
    restored: list[Node] = []
    for (name, model), color in zip(models.items(), (BLUE, GREEN), strict=True):
        with sheet.group(f"3 · By {name}", color):
            inputs = {"image": picture["IMAGE"], "photos.photo_1": photo["IMAGE"], "model": model["model"]}
            restored.append(sheet.add("HeadsUpFaceRestorePortrait", **inputs))
    tiny, usual = restored
    sheet.column(460)
    with sheet.group("idfsr-tiny | headsup-tiny (slider: Nodes 2.0)", BROWN):
        sheet.add("ImageCompare", "A | B", 520, image_a=tiny["image"], image_b=usual["image"])
    with sheet.group("Which faces it painted", BROWN):
        sheet.add("PreviewAny", "Report", 280, source=tiny["report"])
    sheet.column(400)
    with sheet.group("After", BROWN):
        sheet.add("SaveImage", "After", 440, images=tiny["image"], filename_prefix="HeadsUp_tiny_face")
    with sheet.group("By headsup-tiny", BROWN):
        sheet.add("PreviewImage", "By headsup-tiny", 440, images=usual["image"])
    return sheet


def text_to_image(schemas: dict[str, Schema]) -> Drawing:
    said = "Broken faces of small figures are repaired before the checkpoint paints them again."
    sheet = begin("Repair faces of text to image", schemas, said, 460)
    sheet.column(SIDE)
    with sheet.group("1 · Checkpoint", GREEN):
        loaded = sheet.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT)
    with sheet.group("Size", GREEN):
        size = sheet.add("EmptyLatentImage", width=512, height=512)
    sheet.column(SIDE)
    with sheet.group("2 · Words", GREEN):
        good = sheet.add("CLIPTextEncode", "Prompt", clip=loaded["CLIP"], text="photo of a couple in a street cafe, "
                         "full length, morning light")  # fmt: skip
        bad = sheet.add("CLIPTextEncode", "Not wanted", clip=loaded["CLIP"], text="drawing, text, watermark")
    sheet.column(SIDE)
    with sheet.group("3 · Picture", GREEN):
        words = {"model": loaded["MODEL"], "positive": good["CONDITIONING"], "negative": bad["CONDITIONING"]}
        sampler = {"sampler_name": "dpmpp_2m", "scheduler": "karras", "steps": 20, "cfg": 7.0, "seed": 1}
        drawn = sheet.add("KSampler", **words, latent_image=size["LATENT"], **sampler)
    sheet.column(SIDE)
    with sheet.group("Decode", GREEN):
        picture = sheet.add("VAEDecode", samples=drawn["LATENT"], vae=loaded["VAE"])
    with sheet.group("Model"):
        model = sheet.add("HeadsUpLoadModel", model=TINY)
    sheet.column(SIDE)
    with sheet.group("From the text", BROWN):
        sheet.add("PreviewImage", "From the text", 420, images=picture["IMAGE"])
    with sheet.group("4 · Faces"):
        found = sheet.add("HeadsUpDetectFaces", image=picture["IMAGE"], min_eye_distance=6.0)
    sheet.column(SIDE)
    with sheet.group("5 · HeadsUp"):
        inputs = {"model": model["model"], "image": picture["IMAGE"], "faces": found["faces"]}
        upscale = sheet.add("HeadsUpUpscale", **inputs, scale=2.0)
    sheet.column(SIDE)
    with sheet.group("6 · Face detail"):
        faces = {"faces": upscale["faces"], "image": upscale["image"]}
        mask = sheet.add("HeadsUpFacesToMask", **faces, grow=0.3)
        encoded = sheet.add("VAEEncode", pixels=upscale["image"], vae=loaded["VAE"])
    with sheet.group("After HeadsUp", BROWN):
        sheet.add("PreviewImage", "After HeadsUp", 420, images=upscale["image"])
    with sheet.group("For Impact Pack (not needed)", "#888"):
        sheet.add("HeadsUpFacesToSEGS", **faces)
    sheet.column(SIDE)
    with sheet.group("Only the faces"):
        masked = sheet.add("SetLatentNoiseMask", samples=encoded["LATENT"], mask=mask["mask"])
    sheet.column(SIDE)
    with sheet.group("Paint again"):
        again = sheet.add("KSampler", **words, latent_image=masked["LATENT"], **sampler, denoise=0.3)
    sheet.column(SIDE)
    with sheet.group("Decode again"):
        painted = sheet.add("VAEDecode", samples=again["LATENT"], vae=loaded["VAE"])
    sheet.column(SIDE)
    with sheet.group("Lay back"):
        parts = {"destination": upscale["image"], "source": painted["IMAGE"], "mask": mask["mask"]}
        detailed = sheet.add("ImageCompositeMasked", "Faces only", **parts)
    sheet.column(460)
    with sheet.group("After the face detail", BROWN):
        sheet.add("SaveImage", "After the face detail", 480, images=detailed["IMAGE"], filename_prefix="HeadsUp_text")
    return sheet


def begin(name: str, schemas: dict[str, Schema], said: str, note: float) -> Drawing:
    """A drawing with its title, its description, and the explanations of that height in the first column."""
    sheet = Drawing(name, schemas, extra={"headsup": True, "info": {"name": name, "description": said}})
    sheet.column(400)
    sheet.note(note_of(sheet), note, name)
    return sheet


def app(sheet: Drawing, inputs: dict[Node, tuple[str, ...]]) -> None:
    """What app mode shows: widgets of nodes, and what is compared, saved and reported."""
    kinds = ("ImageCompare", "SaveImage", "PreviewAny")
    shown = [node.entry["id"] for kind in kinds for node in sheet.nodes if node.entry["type"] == kind]
    asked = [[node.entry["id"], widget] for node, widgets in inputs.items() for widget in widgets]
    sheet.extra["linearData"] = {"inputs": asked, "outputs": shown}


def as_app(sheet: Drawing) -> Drawing:
    """The same, opened in app mode."""
    name = f"App - {sheet.name}"
    extra = sheet.extra | {"linearMode": True, "info": sheet.extra["info"] | {"name": name}}
    return replace(sheet, name=name, extra=extra)


def app_portrait(schemas: dict[str, Schema]) -> Drawing:
    return as_app(portrait(schemas))


def app_portrait_with_photo(schemas: dict[str, Schema]) -> Drawing:
    return as_app(portrait_with_photo(schemas))


def note_of(sheet: Drawing) -> str:
    """The explanations inside a workflow."""
    return (NOTES / f"{sheet.name}.md").read_text(encoding="utf-8").strip()


def load_image(sheet: Drawing, name: str, title: str) -> Node:
    """A picture of the input folder; app mode shows the widget alone, so it is called as the node is."""
    node = sheet.add("LoadImage", title, image=name)
    next(entry for entry in node.entry["inputs"] if entry["name"] == "image")["label"] = title
    return node


def results(sheet: Drawing, restored: Node, prefix: str) -> None:
    """Two columns: before and after to compare, with the report; the file, and the picture before."""
    sheet.column(500)
    with sheet.group("Before | after (slider: Nodes 2.0)", BROWN):
        sheet.add("ImageCompare", "Before | after", 560, image_a=restored["before"], image_b=restored["image"])
    with sheet.group("What was done", BROWN):
        sheet.add("PreviewAny", "Report", 300, source=restored["report"])
    sheet.column(400)
    with sheet.group("After", BROWN):
        sheet.add("SaveImage", "After", 480, images=restored["image"], filename_prefix=prefix)
    with sheet.group("Before", BROWN):
        sheet.add("PreviewImage", "Before", 440, images=restored["before"])


WORKFLOWS = (
    portrait, portrait_with_photo, group_photo, old_scan, folder, compare_models, tiny_faces, text_to_image,
    app_portrait, app_portrait_with_photo,
)  # fmt: skip
