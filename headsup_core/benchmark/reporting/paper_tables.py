"""A row for each system in the order of columns in which papers print theirs, so that a table can be put beside it.

HeadsUp's (arXiv 2510.09924, tables 1 to 3): PSNR, SSIM, LPIPS, DISTS, FID, NIQE, MUSIQ, CLIPIQA, MANIQA, the identity,
as a cosine and as an angle (IDA), and the landmark distance. Means alone; what was not measured is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..comparing.evaluate import Outcome, Record, values
from ..figures import ANGLE, COSINE, LMD

FID = "FID"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: as papers head it.
        figures: names of ours, of which the first that was measured is shown; one that ends in `_` stands for the
            figure of the first recogniser.
        region: "whole" or "face".
        turn: from our unit to the papers'.
    """

    name: str
    figures: tuple[str, ...]
    higher: bool
    digits: int
    region: str = "whole"
    turn: Callable[[float], float] = float


COLUMNS = (
    Column("PSNR", ("psnr_y",), higher=True, digits=2),
    Column("SSIM", ("ssim_y",), higher=True, digits=4),
    Column("LPIPS", ("lpips_alex", "lpips_vgg", "lpips"), higher=False, digits=4),
    Column("DISTS", ("dists",), higher=False, digits=4),
    Column(FID, (), higher=False, digits=2),
    Column("NIQE", ("niqe",), higher=False, digits=4),
    Column("MUSIQ", ("musiq",), higher=True, digits=4),
    Column("CLIPIQA", ("clipiqa",), higher=True, digits=4),
    Column("MANIQA", ("maniqa-pipal", "maniqa"), higher=True, digits=4),
    Column("ID", (COSINE,), higher=True, digits=4, region="face"),
    Column("IDA", (ANGLE,), higher=False, digits=3, region="face", turn=math.radians),
    Column("Deg.", (ANGLE,), higher=False, digits=2, region="face"),
    Column("LMD", (LMD,), higher=False, digits=3, region="face"),
)


def paper_table(title: str, outcome: Outcome) -> str:
    """Markdown: a row a system; below it which of our figures each column is."""
    records = outcome.records
    systems = list(dict.fromkeys(record.system for record in records))
    used = {column: figure for column in COLUMNS if (figure := _figure(column, records)) or column.name == FID}
    used = {column: figure for column, figure in used.items() if column.name != FID or outcome.fid}
    if not used or not systems:
        return ""
    heads = [f"{column.name} {'↑' if column.higher else '↓'}" for column in used]
    lines = [f"### {title}, as papers print it", ""]
    lines += [f"| method | {' | '.join(heads)} |", "|---" * (len(used) + 1) + "|"]
    for system in systems:
        cells = [_cell(column, figure, outcome, system) for column, figure in used.items()]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    pictures = len({record.case for record in records})
    told = ", ".join(f"{column.name}: {figure}" for column, figure in used.items() if figure)
    said = (
        f"Means over {pictures} pictures ({told}). PSNR and SSIM are of luma; ID, IDA, Deg. and LMD of faces, by the "
        "recogniser and the landmarks named, which may be others than a paper's."
    )
    return "\n".join([*lines, "", said, ""])


def _figure(column: Column, records: list[Record]) -> str:
    """Our figure for a column; "" when none of them was measured."""
    names = list(dict.fromkeys(name for record in records for name in getattr(record, column.region)))
    for wanted in column.figures:
        found = next((name for name in names if name == wanted or (wanted[-1] == "_" and name.startswith(wanted))), "")
        if found:
            return found
    return ""


def _cell(column: Column, figure: str, outcome: Outcome, system: str) -> str:
    if column.name == FID:
        distance = outcome.fid.get(system)
        return "" if distance is None else f"{distance:.{column.digits}f}"
    found, _people = values(outcome.records, column.region, figure, system)
    if not found:
        return ""
    return f"{column.turn(sum(found.values()) / len(found)):.{column.digits}f}"
