"""Pictures of files and folders: PNG to DICOM as float32 (1,H,W), folders as classes."""

from __future__ import annotations

import logging
import re
import sys

import numpy as np
import pytest

from tinymed.data.folder import ImageFolder, load_image_folder
from tinymed.data.pictures import read_picture

Image = pytest.importorskip("PIL.Image")
RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20  # (H,W) = (3,4)


def save(path, pixels=RAMP, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)
    return path


# ---------------------------------------------------------------- one picture


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "npy"])
def test_eight_bits(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    np.save(path, RAMP) if suffix == "npy" else save(path)
    x = read_picture(path)
    assert (x.shape, x.dtype) == ((1, 3, 4), np.float32)
    np.testing.assert_array_equal(x[0], RAMP.astype(np.float32) / 255)


def test_jpeg_is_near(tmp_path):
    x = read_picture(save(tmp_path / "a.jpg", np.full((8, 8), 100, np.uint8)))
    np.testing.assert_allclose(x, 100 / 255, atol=0.01)


@pytest.mark.parametrize("suffix", ["png", "tiff", "npy"])
def test_sixteen_bits_keep_their_depth(tmp_path, suffix):
    deep = (np.arange(12, dtype=np.uint16).reshape(3, 4) * 5957)[:, ::-1].copy()
    path = tmp_path / f"a.{suffix}"
    np.save(path, deep.astype(">u2")) if suffix == "npy" else save(path, deep)  # the high byte first is as good
    np.testing.assert_allclose(read_picture(path)[0], deep / 65535, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4), (3, 4, 1), (1, 12), (12, 1), (1, 1, 12), (12, 1, 1)])
def test_an_array_loses_its_channel_alone(tmp_path, shape):
    np.save(tmp_path / "a.npy", RAMP.reshape(shape))
    x = read_picture(tmp_path / "a.npy")
    sides = shape if len(shape) == 2 else shape[1:] if shape[0] == 1 else shape[:2]
    np.testing.assert_array_equal(x, RAMP.reshape(1, *sides).astype(np.float32) / 255)


def test_twelve_bits_in_sixteen_are_told(tmp_path):
    path = save(tmp_path / "a.png", np.full((2, 2), 4095, np.uint16))
    with pytest.warns(UserWarning, match=r"a\.png: of 65536 greys .* brightest is 4095: nearly black"):
        assert read_picture(path).max() < 0.07


def test_floats_of_a_tiff(tmp_path):
    x = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(read_picture(save(tmp_path / "a.tiff", x))[0], x)
    with pytest.raises(ValueError, match=r"floats must lie in 0\.\.1, got 0\.\.2"):
        read_picture(save(tmp_path / "b.tiff", 2 * x))


def test_colour_becomes_grey(tmp_path):
    rgb = np.zeros((1, 3, 3), np.uint8)
    rgb[0, [0, 1, 2], [0, 1, 2]] = 255  # red, green, blue
    np.testing.assert_allclose(read_picture(save(tmp_path / "a.png", rgb))[0, 0], [0.299, 0.587, 0.114], atol=0.003)


def test_a_picture_taken_sideways_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise to see it upright
    assert read_picture(save(tmp_path / "a.jpg", RAMP, exif=exif)).shape == (1, 4, 3)


def test_resizing_is_asked_for_and_told(tmp_path, caplog):
    path = save(tmp_path / "a.png", np.repeat(RAMP, 2, axis=0))
    assert read_picture(path).shape == (1, 6, 4)
    with caplog.at_level(logging.INFO, "tinymed"):
        x = read_picture(path, (1, 3, 4))
        np.testing.assert_array_equal(read_picture(path, (3, 4)), x)
    np.testing.assert_allclose(x[0], RAMP / 255, rtol=1e-5)  # the mean of two equal rows
    assert caplog.messages[0].endswith("a.png: resized from 6x4 to 3x4, stretched")
    with pytest.raises(ValueError, match=r"one channel, .* cannot become \(3, 3, 4\)"):
        read_picture(path, (3, 3, 4))
    with pytest.raises(ValueError, match=r"one channel, .* cannot become \(3, 6, 4\)"):  # though of its own size
        read_picture(path, (3, 6, 4))


def two_pages(path):
    Image.fromarray(RAMP).save(path, save_all=True, append_images=[Image.fromarray(RAMP)])


BROKEN = {
    "text": ("a.png", lambda p: p.write_text("hello"), "is no picture that can be read, give PNG"),
    "cut short": ("a.png", lambda p: p.write_bytes(save(p).read_bytes()[:50]), "is no picture"),
    "two pages": ("a.tiff", two_pages, "it holds 2 pictures; save one of them alone"),
    "glass": ("a.png", lambda p: save(p, np.full((2, 2, 4), 100, np.uint8)), "transparent in places"),
    "32 bits": ("a.tiff", lambda p: save(p, np.full((2, 2), 7, np.int32)), "integers of 32 bits"),
    "a stack": ("a.npy", lambda p: np.save(p, np.ones((2, 3, 4))), r"\(H,W\).*got \(2, 3, 4\) float64"),
    "nan": ("a.npy", lambda p: np.save(p, np.full((2, 2), np.nan)), "floats must lie in"),
    "0 to 255": ("a.npy", lambda p: np.save(p, np.full((2, 2), 200.0)), "divide by 255"),
    "no DICOM": ("a.dcm", lambda p: p.write_text("hello"), "no DICOM picture that can be read"),
}


@pytest.mark.parametrize(("name", "make", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_pictures_are_named(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(ValueError, match=f"{re.escape(name)}.*{message}"):
        read_picture(tmp_path / name)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match=r"is no picture that can be read.*directory"):
        read_picture(tmp_path)


def test_a_picture_that_is_not_there(tmp_path):
    for name in ("a.png", "a.npy", "a.dcm"):
        with pytest.raises(FileNotFoundError, match=name):
            read_picture(tmp_path / name)


# ---------------------------------------------------------------- DICOM


@pytest.fixture
def dicom(tmp_path):
    """dicom(pixels, **elements): the path of a file with these pixels."""
    pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

    def write(pixels, name="a.dcm", **elements):
        about = pydicom.Dataset()
        about.file_meta = pydicom.dataset.FileMetaDataset()
        about.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        about.SOPClassUID, about.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
        about.Rows, about.Columns = pixels.shape[:2]
        about.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
        about.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
        about.BitsAllocated = about.BitsStored = 8 * pixels.itemsize
        about.HighBit, about.PixelRepresentation = about.BitsStored - 1, int(pixels.dtype.kind == "i")
        if pixels.ndim == 3:
            about.PlanarConfiguration = 0
        for key, value in elements.items():
            setattr(about, key, value)
        about.PixelData = pixels.tobytes()
        about.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return write


HU = np.array([[-1000, -160, 40, 41], [90, 240, 1000, 3000]], np.int16)  # Hounsfield units
LINEAR = np.clip((HU - 39.5) / 399 + 0.5, 0, 1)  # window 40, 400: DICOM PS3.3 C.11.2.1.2.1
WINDOW = {"WindowCenter": 40, "WindowWidth": 400}


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, (HU + 1000) / 4000),  # no window: from the darkest pixel to the brightest
        (WINDOW, LINEAR),
        ({"WindowCenter": [40, 600], "WindowWidth": [400, 1600]}, LINEAR),  # the first of two
        (WINDOW | {"PhotometricInterpretation": "MONOCHROME1"}, 1 - LINEAR),
        ({"PhotometricInterpretation": "MONOCHROME1"}, 1 - (HU + 1000) / 4000),
        (WINDOW | {"VOILUTFunction": "LINEAR_EXACT"}, np.clip((HU - 40) / 400 + 0.5, 0, 1)),
        (WINDOW | {"VOILUTFunction": "SIGMOID"}, 1 / (1 + np.exp(-4 * (HU - 40.0) / 400))),
    ],
)
def test_dicom_greys(dicom, elements, expected):
    x = read_picture(dicom(HU, **elements))
    assert (x.shape, x.dtype) == ((1, 2, 4), np.float32)
    np.testing.assert_allclose(x[0], expected, atol=1e-6)


def test_dicom_slope_and_intercept_come_before_the_window(dicom):
    stored = ((HU + 1024) // 2).astype(np.uint16)
    path = dicom(stored, RescaleSlope=2, RescaleIntercept=-1024, **WINDOW)
    np.testing.assert_allclose(
        read_picture(path)[0], np.clip((stored * 2.0 - 1024 - 39.5) / 399 + 0.5, 0, 1), atol=1e-6
    )


def test_dicom_of_sixteen_bits_in_colour_and_by_its_first_bytes(dicom):
    deep = np.array([[0, 30000], [60000, 65535]], np.uint16)
    np.testing.assert_allclose(read_picture(dicom(deep, "IM0001"))[0], deep / 65535, atol=1e-6)
    rgb = np.full((2, 2, 3), [255, 0, 0], np.uint8)
    np.testing.assert_allclose(read_picture(dicom(rgb, "rgb.dcm")), 0.299, atol=1e-6)
    flat = read_picture(dicom(np.full((2, 2), 5, np.uint16), "flat.dcm"))
    assert not flat.any()


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"NumberOfFrames": 30}, "it holds 30 pictures"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR, neither grey nor RGB"),
        ({"BitsAllocated": 32}, "no DICOM picture that can be read: The number of bytes"),
    ],
)
def test_dicom_that_is_refused(dicom, elements, message):
    with pytest.raises(ValueError, match=rf"a\.dcm.*{message}"):
        read_picture(dicom(HU, **elements))


def test_dicom_without_its_library(tmp_path, monkeypatch):
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError, match=r'needs pydicom, .* pip install .*\[dicom\]"$'):
        read_picture(tmp_path / "a.dcm")


# ---------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path):
    """Two classes of two pictures; hidden files and others that systems leave behind."""
    root = tmp_path / "scans"
    for k, name in enumerate(["malignant/p1_a.png", "malignant/deeper/p2.png", "benign/p1_b.png", "benign/p3_a.png"]):
        save(root / name, RAMP + k)
    for name in ("benign/.DS_Store", "benign/Thumbs.db", ".git/x", "__MACOSX/._a.png", "README.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("no picture")
    return root


def test_folders_are_classes(folder):
    dataset = ImageFolder(folder)
    assert dataset.classes == ("benign", "malignant")
    assert dataset.class_to_idx == {"benign": 0, "malignant": 1}
    assert dataset.names == ["benign/p1_b.png", "benign/p3_a.png", "malignant/deeper/p2.png", "malignant/p1_a.png"]
    assert dataset.labels.tolist() == [0, 0, 1, 1]
    assert (dataset.images.shape, dataset.images.dtype) == ((4, 1, 3, 4), np.float32)
    np.testing.assert_allclose(dataset.images.array[:, 0], np.stack([RAMP + k for k in (2, 3, 1, 0)]) / 255, rtol=1e-6)
    assert (dataset.source, dataset.split, dataset.groups) == (str(folder), None, None)


def test_size(folder, caplog):
    save(folder / "benign" / "large.png", np.repeat(RAMP, 2, axis=1))
    with pytest.raises(ValueError, match=r"p1_b\.png is 3x4, but .*large\.png is 3x8: give size=\(H,W\)"):
        ImageFolder(folder)
    with caplog.at_level(logging.INFO, "tinymed"):
        assert ImageFolder(folder, size=(3, 4)).images.shape == (5, 1, 3, 4)
    assert caplog.messages == ["1 of 5 pictures resized to 3x4"]


@pytest.mark.parametrize("group", [r"(p\d)_?", r"p\d", re.compile(r"(p\d)"), lambda path: path.split("/")[-1][:2]])
def test_groups_from_names(folder, group):
    assert ImageFolder(folder, group=group).groups.tolist() == ["p1", "p3", "p2", "p1"]


@pytest.mark.parametrize("group", [r"_(a|b)", r"(p2)?", lambda path: None])
def test_a_name_without_group_is_refused(folder, group):
    with pytest.raises(ValueError, match="finds no group in"):
        ImageFolder(folder, group=group)
    if group == r"(p2)?":
        with pytest.raises(ValueError, match=re.escape(r"the pattern (p\d)x finds no group in 'p1_b.png'")):
            ImageFolder(folder, group=r"(p\d)x")


def test_what_is_no_picture_is_named(folder):
    (folder / "benign" / "notes.txt").write_text("hello")
    (folder / "benign" / "IM0001").write_bytes(bytes(128) + b"DICM")  # as cameras name them
    for group in (None, r"(p\d)"):  # it is not the pattern's fault
        with pytest.raises(ValueError, match=r"1 file that is no picture by name: 'benign/notes\.txt'"):
            ImageFolder(folder, group=group)
    (folder / "malignant" / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"2 files that are no pictures by name: 'benign/notes\.txt', 'mal"):
        ImageFolder(folder)
    for name in ("benign", "malignant"):
        (folder / name / "notes.txt").rename(folder / name / "notes.png")
    with pytest.raises(ValueError, match=r"(IM0001|notes\.png) is no .*picture|needs pydicom"):
        ImageFolder(folder)


def test_folders_that_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds one folder, 'scans'; give the folder that holds one for each class"):
        ImageFolder(tmp_path)
    (tmp_path / "bare").mkdir()
    with pytest.raises(ValueError, match="bare holds no folders"):
        ImageFolder(tmp_path / "bare")
    (tmp_path / "bare").rmdir()
    (folder / "normal").mkdir()
    (folder / "normal" / ".DS_Store").touch()
    with pytest.raises(ValueError, match="scans/normal holds no pictures; remove the folder"):
        ImageFolder(folder)


def test_splits(folder, tmp_path):
    root = tmp_path / "all"
    for split, name in (("train", "a/1"), ("train", "b/2"), ("train", "c/3"), ("Validation", "b/4"), ("test", "c/5")):
        save(root / split / f"{name}.png")
    train, val, test = (load_image_folder(root, split) for split in ("train", "val", "test"))
    assert train.classes == val.classes == test.classes == ("a", "b", "c")
    assert (val.labels.tolist(), test.labels.tolist()) == ([1], [2])  # the numbers of train
    assert (val.split, test.names) == ("val", ["c/5.png"])
    for read in (ImageFolder, load_image_folder):
        with pytest.raises(ValueError, match=r"holds splits, not classes: load_image_folder\(.*, split='test'\)"):
            read(root)
    with pytest.raises(ValueError, match="no folder for the split 'dev'; it has 'test', 'train', 'val'"):
        load_image_folder(root, "dev")
    with pytest.raises(ValueError, match="no folder for the split 'test'; it has none"):
        load_image_folder(folder, "test")
    save(root / "test" / "d" / "6.png")
    with pytest.raises(ValueError, match="test holds 'd', no classes of the training folder: 'a', 'b', 'c'"):
        load_image_folder(root, "test")
    assert len(load_image_folder(folder, size=(3, 4))) == 4


def test_two_folders_of_one_split_are_refused(tmp_path):
    for name in ("Train/a/1", "Train/b/2", "training/a/3", "training/b/4", "test/a/5"):
        save(tmp_path / f"{name}.png")
    for split in ("train", "test"):
        with pytest.raises(ValueError, match="holds 'Train' and 'training' for the one split 'train'"):
            load_image_folder(tmp_path, split)
