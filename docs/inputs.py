"""Makes the pictures and the sound of the examples.

python -m docs.inputs

`dog.jpg` and its kin of the server's page are drawn here; `dog.wav` is spoken by espeak-ng (the extra
`speech-synthesis`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FOLDER = Path(__file__).parent
EXAMPLES = FOLDER.parent / "tasks" / "serve" / "page" / "examples"
SENTENCE, VOICE, WORDS_PER_MINUTE = "a brown dog is running on the grass", "en-us+f3", 140
WIDTH, HEIGHT, SCALE = 480, 360, 3  # pixels; shapes are drawn SCALE times larger, then reduced

Colour = tuple[int, int, int]
Outline = Sequence[tuple[float, float]]

BLACK = (24, 20, 18)


@dataclass(frozen=True)
class Palette:
    """The colours of a picture, from front to back; the ground is grained by as much as its texture."""

    fur: Colour = (148, 94, 48)
    dark: Colour = (104, 64, 32)
    light: Colour = (176, 118, 66)
    ear: Colour = (92, 56, 28)
    ground: Colour = (86, 138, 52)
    texture: float = 16
    trees: Colour = (52, 84, 50)
    hills: Colour = (96, 128, 104)
    horizon: Colour = (206, 222, 232)
    sky: Colour = (126, 170, 214)


MEADOW_DOG = Palette()
BEACH_DOG = Palette(
    (218, 206, 186), (176, 160, 134), (238, 230, 214), (170, 150, 122), ground=(212, 190, 148), texture=7,
    trees=(72, 128, 164), hills=(92, 150, 186), horizon=(222, 232, 238), sky=(132, 178, 222),
)  # fmt: skip
SNOW_DOG = Palette(
    (44, 40, 38), (28, 25, 24), (66, 60, 56), (22, 20, 19), ground=(236, 240, 246), texture=4, trees=(58, 76, 72),
    hills=(206, 216, 226), horizon=(226, 232, 238), sky=(176, 196, 216),
)  # fmt: skip
HILLS = [
    (-80, 112),
    (20, 92),
    (90, 104),
    (170, 84),
    (260, 102),
    (350, 80),
    (430, 98),
    (560, 90),
    (560, 190),
    (-80, 190),
]
MEADOW = [(-90, 150), (240, 141), (570, 149), (570, 460), (-90, 460)]
FAR_LEGS = [
    [(318, 212), (346, 236), (352, 262), (372, 272), (368, 280), (340, 272), (328, 250), (298, 232)],
    [(160, 214), (150, 240), (122, 258), (106, 280), (94, 276), (104, 252), (126, 234), (136, 208)],
]
TAIL = [(140, 184), (112, 170), (84, 146), (72, 122), (80, 118), (96, 138), (122, 156), (150, 170)]
BODY = [
    *((136, 178), (160, 164), (200, 168), (250, 172), (292, 162), (322, 146), (346, 160), (346, 196)),
    *((332, 224), (300, 232), (262, 226), (216, 214), (184, 220), (152, 224), (132, 204)),
]
NEAR_LEGS = [
    [
        *((300, 210), (312, 238), (300, 262), (310, 286), (326, 290)),
        *((322, 298), (298, 294), (284, 264), (290, 240), (276, 222)),
    ],
    [
        *((184, 208), (186, 232), (164, 250), (158, 276), (172, 288)),
        *((166, 294), (146, 286), (144, 256), (154, 236), (140, 214)),
    ],
]
HEAD = [
    *((296, 168), (316, 134), (336, 112), (362, 104), (382, 112), (394, 126), (414, 132)),
    *((418, 142), (404, 150), (380, 152), (366, 168), (350, 196), (310, 200)),
]
EAR = [(340, 112), (352, 110), (356, 132), (350, 158), (338, 160), (330, 140)]
BELLY = [(160, 214), (216, 206), (262, 218), (310, 222), (300, 230), (262, 226), (216, 214), (184, 220)]
BACK = [(170, 172), (230, 176), (290, 168), (290, 176), (230, 186), (170, 182)]
MOUTH = [(384, 146), (398, 145), (408, 143), (398, 148)]


def noise(rng: np.random.Generator, *cells: int) -> np.ndarray:
    """Smooth noise of variance 1, `(height, width)`: a sum of octaves with `cells` random values across the width."""
    total = np.zeros((HEIGHT, WIDTH))
    for count in cells:
        coarse = rng.normal(size=(max(2, count * HEIGHT // WIDTH), count)).astype(np.float32)
        octave = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
        total += octave / octave.std() / count**0.5
    return total / total.std()


def spline(outline: Outline, steps: int = 12) -> Outline:
    """A closed Catmull-Rom spline through the points."""
    p = np.array(outline, float)
    before, after, second = (np.roll(p, shift, axis=0)[:, None] for shift in (1, -1, -2))
    t, p = np.linspace(0, 1, steps, endpoint=False)[None, :, None], p[:, None]
    curve = p + (after - before) * t / 2 + (before - 2.5 * p + 2 * after - second / 2) * t**2
    curve += (1.5 * (p - after) + (second - before) / 2) * t**3
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


def ellipse(x: float, y: float, width: float, height: float) -> Outline:
    """Points around a centre."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    return [(x + width * float(np.cos(angle)), y + height * float(np.sin(angle))) for angle in angles]


def opacity(outlines: Sequence[Outline], blur: float) -> np.ndarray:
    """1 inside the smooth outlines and 0 outside, `(height, width, 1)`."""
    mask = Image.new("L", (WIDTH * SCALE, HEIGHT * SCALE))
    for outline in outlines:
        ImageDraw.Draw(mask).polygon([(x * SCALE, y * SCALE) for x, y in spline(outline)], fill=255)
    reduced = mask.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(reduced, float)[..., None] / 255


def draw_dog(palette: Palette = MEADOW_DOG) -> Image.Image:
    """A dog that runs over grass, or in other colours over sand or snow."""
    rng = np.random.default_rng(0)
    cloudy, grain = noise(rng, 8), noise(rng, 60, 120, 240, 480)
    canvas = np.linspace(palette.sky, palette.horizon, HEIGHT)[:, None] + np.zeros((1, WIDTH, 1))

    def paint(outlines: Sequence[Outline], colour: Colour, texture: np.ndarray, blur: float = 0.8) -> None:
        visible = opacity(outlines, blur)
        canvas[:] = canvas * (1 - visible) + (np.array(colour) + texture[..., None]) * visible

    treetops = [(x, 132 + 9 * float(np.sin(x / 13)) - 6 * float(rng.random())) for x in range(-20, 520, 14)]
    paint([HILLS], palette.hills, 5 * cloudy, 2)
    paint([[*treetops, (520, 190), (-20, 190)]], palette.trees, 7 * grain, 1.5)
    paint([MEADOW], palette.ground, palette.texture * grain + 4 * cloudy, 1)
    canvas *= 1 - 0.38 * opacity([ellipse(245, 292, 120, 12)], 7)  # shadow
    fur, smooth = 13 * grain, 0 * grain
    paint(FAR_LEGS, palette.dark, fur)
    paint([TAIL, BODY, *NEAR_LEGS, HEAD], palette.fur, fur)
    paint([BELLY], palette.dark, fur, 5)
    paint([BACK], palette.light, fur, 6)
    paint([EAR], palette.ear, fur)
    paint([ellipse(413, 136, 6, 5), ellipse(375, 121, 3.4, 3.4)], BLACK, smooth, 0.6)
    paint([MOUTH], (70, 34, 28), smooth, 0.6)
    return Image.fromarray(np.clip(canvas + 2 * rng.normal(size=canvas.shape), 0, 255).astype(np.uint8))


def speak(path: Path) -> None:
    """Writes the sentence as a WAV file; raises CorpusError without espeak-ng."""
    import soundfile

    from datasets.speech import Request, Synthesizer
    from shared.audio import SAMPLE_RATE

    speech = Synthesizer().synthesize(Request(SENTENCE, VOICE, rate=WORDS_PER_MINUTE, pitch=50, range=50))
    soundfile.write(path, speech.samples, SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    draw_dog().save(FOLDER / "dog.jpg", quality=88)
    for name, palette in (("meadow", MEADOW_DOG), ("beach", BEACH_DOG), ("snow", SNOW_DOG)):
        draw_dog(palette).save(EXAMPLES / f"{name}.webp", quality=80)
    speak(FOLDER / "dog.wav")
