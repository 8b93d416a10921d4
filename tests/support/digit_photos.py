"""Draws handwritten digits as people photograph, scan and paint them: deterministic for a seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
Image = npt.NDArray[np.float32]

PENS: tuple[Colour, ...] = ((20, 20, 25), (25, 40, 130), (10, 10, 60), (50, 30, 20))
COLOURS: tuple[Colour, ...] = ((200, 20, 30), (20, 130, 50), (230, 120, 20), (150, 40, 160), (30, 150, 220))
PAPERS: tuple[Colour, ...] = ((250, 250, 248), (236, 234, 228), (225, 222, 210))
NOTES: tuple[Colour, ...] = ((250, 235, 120), (180, 220, 250), (250, 190, 200), (190, 235, 180))
TABLES: tuple[Colour, ...] = ((60, 60, 60), (25, 25, 30), (95, 60, 35), (120, 85, 55), (40, 55, 80))
CHALK: tuple[Colour, ...] = ((245, 245, 240), (250, 240, 180), (200, 230, 250))
BOARDS: tuple[Colour, ...] = ((20, 20, 20), (25, 60, 45), (40, 40, 60))


@dataclass(frozen=True)
class Condition:
    """How a digit was written and photographed.

    Attributes:
        inks: colours of the pen, RGB; one is chosen.
        papers: colours of the sheet.
        tables: colours of the table that the sheet lies on; none where the sheet fills the image.
        cover: of the ink, a range: 1 hides the paper, a pencil lets it through.
        frame: lines of a cell around the digit; "form": they run on to the sheet's edges.
        ruled: "lines" or "squares" that are printed on the sheet.
        tilt: largest angle of the sheet on the table, in degrees.
        shading: how much darker one side of the image is, at most.
        shadow: of somebody who stands by: how dark it is, at most.
        noise: standard deviation of the sensor's noise in grey levels, at most.
        blur: standard deviation in pixels, at most.
        transparent: a canvas instead of a sheet.
    """

    inks: tuple[Colour, ...] = PENS
    papers: tuple[Colour, ...] = PAPERS
    tables: tuple[Colour, ...] = ()
    cover: tuple[float, float] = (0.85, 1.0)
    frame: str = ""
    ruled: str = ""
    tilt: float = 0.0
    shading: float = 0.0
    shadow: float = 0.0
    noise: float = 2.0
    blur: float = 1.0
    transparent: bool = False


PENCIL = Condition(inks=((70, 70, 75), (100, 100, 105)), cover=(0.25, 0.6), noise=3)
ON_TABLE = Condition(tables=TABLES)

CONDITIONS: Mapping[str, Condition] = {
    "pen on paper": Condition(),
    "coloured pen": Condition(inks=COLOURS),
    "coloured paper": Condition(papers=NOTES),
    "faint pencil": PENCIL,
    "uneven light": Condition(shading=0.55),
    "shadow": Condition(shadow=0.5),
    "noise and blur": Condition(noise=14, blur=3),
    "cell frame": Condition(frame="cell"),
    "form lines to the edges": Condition(frame="form"),
    "ruled paper": Condition(ruled="lines"),
    "squared paper": Condition(ruled="squares"),
    "sheet on a table": ON_TABLE,
    "tilted sheet on a table": replace(ON_TABLE, tilt=20),
    "coloured note on a table": replace(ON_TABLE, papers=NOTES, inks=PENS, tilt=10),
    "frame and table": replace(ON_TABLE, frame="cell", tilt=8),
    "pencil, frame and table": replace(PENCIL, tables=TABLES, frame="cell", tilt=8),
    "shadow, tilt, frame and table": replace(ON_TABLE, frame="cell", tilt=12, shading=0.3, shadow=0.35, noise=6),
    "chalk on a board": Condition(inks=CHALK, papers=BOARDS, cover=(0.7, 1.0), noise=5),
    "dark on a transparent canvas": Condition(transparent=True),
    "white on a transparent canvas": Condition(inks=((255, 255, 255),), transparent=True, cover=(1.0, 1.0)),
    "colour on a transparent canvas": Condition(inks=COLOURS, transparent=True),
}


@dataclass
class _Drawing:
    """A sheet while it is drawn: its pixels and, of a transparent canvas, what hides the ground."""

    rng: np.random.Generator
    pixels: Image
    opacity: Image = field(default_factory=lambda: np.zeros((0, 0), np.float32))


def photo(digit: npt.NDArray[np.uint8], condition: Condition, seed: int) -> bytes:
    """A digit as an image file.

    Args:
        digit: [28, 28], white ink on black.
        condition: how it is written and photographed.
        seed: of everything that varies.

    Returns:
        PNG where the canvas is transparent, else JPEG.
    """
    rng = np.random.default_rng(seed)
    side = int(rng.integers(220, 340))
    height, width = side, int(side * rng.uniform(0.8, 1.35))
    drawing = _Drawing(rng, np.empty((height, width, 3), np.float32))
    drawing.pixels[:] = _one(rng, condition.papers)
    _print_lines(drawing, condition)
    ink = _placed(digit, (height, width), rng, room=0.5 if condition.frame else 0.85)
    if condition.frame:
        _draw_frame(drawing, ink, condition)
    _write(drawing, ink, condition)
    if condition.transparent:
        return _encoded(np.dstack([drawing.pixels[..., ::-1], drawing.opacity * 255]), ".png", rng)
    scene = _on_table(drawing.pixels, condition, rng) if condition.tables else drawing.pixels
    return _encoded(_exposed(scene, condition, rng)[..., ::-1], ".jpg", rng)


def blank(condition: Condition, seed: int) -> bytes:
    """The same without a digit, and without frame and lines."""
    return photo(np.zeros((28, 28), np.uint8), replace(condition, frame="", ruled=""), seed)


def _one(rng: np.random.Generator, choices: tuple[Colour, ...]) -> Image:
    return np.asarray(choices[rng.integers(len(choices))], np.float32)


def _placed(digit: npt.NDArray[np.uint8], size_hw: tuple[int, int], rng: np.random.Generator, room: float) -> Image:
    """The digit's ink, 0..1, somewhere on a sheet of this size."""
    height, width = size_hw
    side = int(min(size_hw) * rng.uniform(0.55, 1.0) * room)
    large = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    large = np.clip((cv2.GaussianBlur(large, (0, 0), side / 70) - 0.3) / 0.3, 0, 1)
    margin = 0.15 if room < 0.85 else 0.03
    top = int(rng.uniform(margin, 1 - margin) * (height - side))
    left = int(rng.uniform(margin, 1 - margin) * (width - side))
    ink = np.zeros(size_hw, np.float32)
    ink[top : top + side, left : left + side] = large
    return ink


def _write(drawing: _Drawing, ink: Image, condition: Condition) -> None:
    rng = drawing.rng
    cover = rng.uniform(*condition.cover)
    if cover < 0.7:  # a pencil rubs on the paper's grain
        grain = cv2.GaussianBlur(rng.standard_normal(ink.shape, np.float32), (0, 0), 1.2)
        ink = ink * np.clip(1 + 0.8 * grain, 0.3, 1.4)
    hidden = np.clip(ink * cover, 0, 1)[..., np.newaxis]
    colour = _one(rng, condition.inks)
    drawing.opacity = hidden[..., 0]
    drawing.pixels = colour + 0 * hidden if condition.transparent else drawing.pixels * (1 - hidden) + colour * hidden


def _draw_frame(drawing: _Drawing, ink: Image, condition: Condition) -> None:
    """A cell's four lines around the ink, near it and seldom through it; of a form, lines across the sheet."""
    rng, (height, width) = drawing.rng, ink.shape
    rows, columns = np.flatnonzero(ink.max(axis=1) > 0.2), np.flatnonzero(ink.max(axis=0) > 0.2)
    if not rows.size:
        return
    gap = rng.uniform(0.02, 0.12, 4) * min(height, width)
    top, bottom = max(4, int(rows[0] - gap[0])), min(height - 5, int(rows[-1] + gap[1]))
    left, right = max(4, int(columns[0] - gap[2])), min(width - 5, int(columns[-1] + gap[3]))
    thickness = int(rng.integers(1, max(3, height // 60)))
    colour = tuple(map(float, _one(rng, ((20, 20, 20), (90, 90, 90), (60, 90, 160)))))
    if condition.frame == "form":
        for x in (left, right):
            cv2.line(drawing.pixels, (x, 0), (x, height - 1), colour, thickness)
        for y in (top, bottom):
            cv2.line(drawing.pixels, (0, y), (width - 1, y), colour, thickness)
    else:
        cv2.rectangle(drawing.pixels, (left, top), (right, bottom), colour, thickness)


def _print_lines(drawing: _Drawing, condition: Condition) -> None:
    height, width = drawing.pixels.shape[:2]
    if not condition.ruled:
        return
    step = int(drawing.rng.uniform(0.09, 0.2) * height)
    for y in range(step // 2, height, step):
        cv2.line(drawing.pixels, (0, y), (width - 1, y), (150.0, 175.0, 215.0), 1)
    for x in range(step // 2, width, step) if condition.ruled == "squares" else ():
        cv2.line(drawing.pixels, (x, 0), (x, height - 1), (150.0, 175.0, 215.0), 1)


def _on_table(sheet: Image, condition: Condition, rng: np.random.Generator) -> Image:
    """The sheet in perspective on a table with a grain."""
    height, width = sheet.shape[:2]
    out_h, out_w = (int(side * rng.uniform(1.25, 1.9)) for side in (height, width))
    table = np.empty((out_h, out_w, 3), np.float32)
    table[:] = _one(rng, condition.tables)
    grain = cv2.GaussianBlur(rng.standard_normal((out_h, out_w), np.float32), (0, 0), sigmaX=25, sigmaY=1.5)
    table *= 1 + rng.uniform(0, 0.12) * (grain / max(float(grain.std()), 1e-6))[..., np.newaxis]
    angle = np.deg2rad(rng.uniform(-condition.tilt, condition.tilt))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    corners = corners @ turn.T + rng.uniform(-0.03, 0.03, (4, 2)) * min(height, width)
    corners *= min(1.0, 0.95 * min(out_w / np.ptp(corners[:, 0]), out_h / np.ptp(corners[:, 1])))
    room = np.array([out_w - np.ptp(corners[:, 0]), out_h - np.ptp(corners[:, 1])])
    corners += -corners.min(axis=0) + room * rng.uniform(0.1, 0.9, 2)
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
    lying = cv2.warpPerspective(sheet, matrix, (out_w, out_h), flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(np.ones((height, width), np.float32), matrix, (out_w, out_h))[..., np.newaxis]
    below = cv2.GaussianBlur(cover[..., 0], (0, 0), 0.02 * out_h)[..., np.newaxis]  # the sheet's own shadow
    return (table * (1 - 0.4 * below) * (1 - cover) + lying * cover).astype(np.float32)


def _exposed(scene: Image, condition: Condition, rng: np.random.Generator) -> Image:
    """Light, shadow, the lens and the sensor."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    slope = (x - 0.5) * np.cos(direction) + (y - 0.5) * np.sin(direction)
    light = 1 - condition.shading * rng.uniform(0.5, 1) * (slope / 1.42 + 0.5)
    if condition.shadow:
        edge = rng.uniform(-0.25, 0.25)
        softness = rng.uniform(0.003, 0.08)
        light *= 1 - condition.shadow * rng.uniform(0.5, 1) / (1 + np.exp(np.clip((slope - edge) / softness, -30, 30)))
    lit = scene * light[..., np.newaxis].astype(np.float32)
    blurred = cv2.GaussianBlur(lit, (0, 0), max(0.3, rng.uniform(0, condition.blur)))
    return np.asarray(
        blurred + rng.standard_normal(lit.shape, np.float32) * rng.uniform(0, condition.noise), np.float32
    )


def _encoded(image: Image, suffix: str, rng: np.random.Generator) -> bytes:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))] if suffix == ".jpg" else []
    done, data = cv2.imencode(suffix, np.clip(image, 0, 255).astype(np.uint8), quality)
    assert done
    return data.tobytes()
