"""Reading one grey picture: PNG, JPEG, BMP, TIFF, DICOM, npy. A picture is float32 (1,H,W), black 0 and white 1."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from tinymed.data.extras import needed

LOG = logging.getLogger(__name__)
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".npy", ".dcm", ".dicom")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # how bright red, green and blue look (ITU-R BT.601)


def read_picture(path: str | Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A picture of a file as float32 (1,H,W) in 0..1; a colour one is turned to grey.

    shape  (H,W) or (1,H,W): a picture of another size is resized to it, which is logged; None leaves it as it is

    PNG, JPEG, BMP, TIFF  white is the greatest value that the pixels can hold, 255 or 65535, or 1 of floats;
                          turned upright where a camera says so
    npy                   (H,W), (1,H,W) or (H,W,1): uint8, uint16, or floats in 0..1
    DICOM                 (.dcm, or known by its first bytes; the extra "dicom") rescaled, then seen through its
                          first window; without a window, from its own darkest to its own brightest pixel, as
                          viewers do. MONOCHROME1, where 0 is white, is turned round

    Raises ValueError for what is no picture or more than one, and says what to save instead; ImportError where a
    DICOM file is given and pydicom is not installed.
    """
    if shape is not None and shape[:-2] not in ((), (1,)):
        raise ValueError(f"a picture is read as one channel, (H,W) or (1,H,W); it cannot become {shape}")
    path, dicom = Path(path), False
    try:
        dicom = is_dicom(path)
        x = (
            _dicom(path)
            if dicom
            else _npy(path)
            if path.suffix.lower() == ".npy"
            else _pillow(path, told=shape is not None)
        )
    except (ImportError, FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes its reader raise nearly anything
        kind = "DICOM picture that can be read" if dicom else "picture that can be read, give PNG, JPEG, npy or DICOM"
        raise ValueError(f"{path} is no {kind}: {shorten(str(error), 200)}") from None
    if x.ndim != 2 or not x.size or not (x.dtype.kind == "f" or (x.dtype.kind == "u" and x.dtype.itemsize <= 2)):
        raise ValueError(
            f"{path}: expected one grey picture (H,W), uint8, uint16 or floats in 0..1, got {x.shape} {x.dtype}"
        )
    x = x.astype(np.float32) / (np.iinfo(x.dtype).max if x.dtype.kind == "u" else 1)
    if not (np.isfinite(x).all() and x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"{path}: floats must lie in 0..1, got {x.min():g}..{x.max():g}; divide by 255?")
    if shape is None or x.shape == shape[-2:]:
        return x[None]
    (h, w), (height, width) = x.shape, shape[-2:]
    stretched = ", stretched" if h * width != w * height else ""
    LOG.info("%s: resized from %dx%d to %dx%d%s", path, h, w, height, width, stretched)
    return resize(x[None], shape[-2:])


def resize(x: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A picture (1,H,W) brought to size (H,W): a pixel is the mean of those it covers."""
    from PIL import Image

    height, width = size
    return np.asarray(Image.fromarray(x[0]).resize((width, height), Image.Resampling.BOX))[None]


def is_dicom(path: str | Path) -> bool:
    """Whether a file is DICOM, by its name or by the letters DICM after 128 bytes."""
    if Path(path).suffix.lower() in (".dcm", ".dicom"):
        return True
    with open(path, "rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _npy(path: Path) -> np.ndarray:
    with path.open("rb") as stream:
        x = np.lib.format.read_array(stream, allow_pickle=False)
    if x.ndim == 3 and 1 in (x.shape[0], x.shape[2]):
        return x[0] if x.shape[0] == 1 else x[..., 0]
    return x


def _pillow(path: Path, told: bool) -> np.ndarray:
    """The pixels (H,W) as uint8, uint16 or float32; of a picture that must fit a shape, lost colours are told."""
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        if (frames := getattr(picture, "n_frames", 1)) > 1:
            raise ValueError(f"it holds {frames} pictures; save one of them alone")
        deep = picture.mode.startswith("I")
        if picture.mode == "I" and picture.format != "PNG":
            raise ValueError("its pixels are integers of 32 bits, whose white is unknown; save it with 8 or 16")
        upright = ImageOps.exif_transpose(picture)
        alpha = not deep and ("A" in upright.getbands() or "transparency" in upright.info)
        if alpha and np.asarray(upright.convert("RGBA"))[..., 3].min() < 255:
            raise ValueError("it is transparent in places, whose grey is unknown; save it without transparency")
        if told and len(upright.getbands()) > 2 and np.ptp(np.asarray(upright.convert("RGB")), axis=2).any():
            LOG.info("%s: its colours became grey", path)
        x = np.asarray(upright if deep or picture.mode == "F" else upright.convert("L"))
    if not deep:
        return x
    x = x.astype(np.uint16)  # older Pillows give the 16 bits of PNG as 32
    if 0 < x.max() < 4096:
        warnings.warn(
            f"{path}: of 65536 greys of 16 bits its brightest is {x.max()}: nearly black. Were they 12 bits? "
            "Then save it anew, multiplied by 16",
            stacklevel=3,
        )
    return x


def _dicom(path: Path) -> np.ndarray:
    """The picture (H,W) of a DICOM file as float32 in 0..1."""
    pydicom, pixels = (needed(name, "dicom", "reading DICOM") for name in ("pydicom", "pydicom.pixels"))
    try:
        about = pydicom.dcmread(path)
        if "Rows" not in about:
            raise ValueError("it holds no picture")
        if (frames := int(about.get("NumberOfFrames") or 1)) > 1:
            raise ValueError(f"it holds {frames} pictures; save one of them alone")
        return _greys(about, pixels.pixel_array(about), pixels).astype(np.float32)
    except pydicom.errors.InvalidDicomError:
        raise ValueError("it does not begin as such a file does") from None
    except RuntimeError as error:
        raise ValueError(f"save it uncompressed, or as PNG: {error}") from None


def _greys(about: Any, x: np.ndarray, pixels: Any) -> np.ndarray:
    """Stored values as greys in 0..1: modality, window, inversion, in the standard's order (DICOM PS3.3 C.11)."""
    kind = about.PhotometricInterpretation
    if x.ndim == 3:  # colour (H,W,3), which pydicom has turned to RGB
        return np.clip(x / (2**about.BitsStored - 1) @ LUMA, 0, 1)
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"its pixels are {kind}, neither grey nor RGB; save it as PNG")
    x = pixels.apply_modality_lut(x, about)
    if "WindowCenter" in about and "WindowWidth" in about:
        with np.errstate(over="ignore"):  # far below and far above show what the window makes black and white
            low, high = pixels.apply_windowing(np.array([-1e30, 1e30]), about)
        x = pixels.apply_windowing(x, about)
    elif "VOILUTSequence" in about:
        raise ValueError("its greys come from a look-up table, not from a window; save it as PNG")
    else:
        low, high = x.min(), x.max()
    x = np.clip((x - float(low)) / (float(high) - float(low) or 1), 0, 1)  # but for rounding it is in 0..1
    return 1 - x if kind == "MONOCHROME1" else x
