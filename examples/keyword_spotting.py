"""Write a small keyword-spotting dataset: MFCC features of synthetic words, as an npz file for `tinyformer run`.

A word is a gliding pitch with two formants, spoken at a random moment, speed and loudness over noise. Features are
those usual for microcontrollers: one second at 16 kHz, frames of 40 ms every 20 ms, 10 cepstral coefficients, float32
(N, 49, 10). Replace ``synthesise`` by your recordings; the rest stays.

    python examples/keyword_spotting.py keywords.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000
FRAME, HOP = 640, 320  # 40 ms every 20 ms: 49 frames in a second
FFT = 1024
MEL_BANDS, COEFFICIENTS = 40, 10
MEL_LOW_HZ, MEL_HIGH_HZ = 20.0, 4000.0
LIFTER = np.arange(1, COEFFICIENTS + 1)  # high coefficients are small; one scale has to serve all of them

# pitch and two formants in Hz, each at the start and at the end of the word
WORDS: dict[str, tuple[tuple[float, float], ...]] = {
    "yes": ((180, 150), (300, 500), (2300, 1800)),
    "no": ((150, 120), (500, 400), (1700, 800)),
    "up": ((160, 130), (750, 650), (1200, 1000)),
    "down": ((140, 110), (800, 400), (1300, 900)),
    "left": ((170, 150), (550, 600), (1800, 1700)),
    "right": ((140, 150), (700, 350), (1100, 2200)),
}
SILENCE = "silence"
CLASSES = (*WORDS, SILENCE)


def synthesise(word: str, generator: np.random.Generator) -> FloatArray:
    """Return one second of a word in noise, float32 (16000,), about -1 to 1."""
    sound = generator.normal(0.0, generator.uniform(0.002, 0.03), SAMPLE_RATE)
    if word != SILENCE:
        length = int(SAMPLE_RATE * generator.uniform(0.35, 0.65))
        start = int(generator.integers(0, SAMPLE_RATE - length))
        glide = np.linspace(0.0, 1.0, length)
        speaker = generator.uniform(0.85, 1.2)
        voice = np.zeros(length)
        pitch, *formants = ((first + (last - first) * glide) * speaker for first, last in WORDS[word])
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        for harmonic in range(1, 25):
            loudness = sum(1 / (1 + ((harmonic * pitch - formant) / 120) ** 2) for formant in formants)
            voice += loudness * np.sin(harmonic * phase)
        sound[start : start + length] += generator.uniform(0.05, 0.3) * np.hanning(length) * voice
    return sound.astype(np.float32)


def mfcc(sound: FloatArray) -> FloatArray:
    """Return the cepstral coefficients of a sound, float32 (frames, 10); what the firmware computes as well."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), FFT)) ** 2
    energy = np.log(power @ _mel_filters().T + 1e-6)
    band = np.arange(MEL_BANDS) + 0.5
    cosines = np.cos(np.pi / MEL_BANDS * np.outer(np.arange(COEFFICIENTS), band))
    coefficients: FloatArray = (energy @ cosines.T * (2 / MEL_BANDS) ** 0.5 * LIFTER).astype(np.float32)
    return coefficients


def dataset(samples_per_class: int, seed: int) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of the npz file: x float32 (N, 49, 10), y text (N,) and the names of the classes."""
    generator = np.random.default_rng(seed)
    words = np.repeat(CLASSES, samples_per_class)
    x = np.stack([mfcc(synthesise(str(word), generator)) for word in words])
    return {"x": x, "y": words, "classes": np.array(CLASSES)}


def _mel_filters() -> npt.NDArray[np.float64]:
    """Return triangular filters, evenly spaced on the mel scale, (bands, bins)."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (MEL_LOW_HZ, MEL_HIGH_HZ))
    corners = 700 * (10 ** (np.linspace(low, high, MEL_BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
    left, centre, right = (corners[i : MEL_BANDS + i, np.newaxis] for i in range(3))
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description="Write synthetic keywords as an npz file.")
    parser.add_argument("target", type=Path, nargs="?", default=Path("keywords.npz"))
    parser.add_argument("--samples", type=int, default=200, help="of each class")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arrays = dataset(arguments.samples, arguments.seed)
    np.savez_compressed(arguments.target, **arrays)  # type: ignore[arg-type]
    print(f"{arguments.target}: x {arrays['x'].shape}, classes {', '.join(CLASSES)}")


if __name__ == "__main__":
    main()
