"""Reading one image file: every format and mode against pixel values computed by hand."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genbench.builtin.datasets.image_file import (
    SUFFIXES,
    UnreadableImage,
    centre_square,
    quiet_pillow,
    read_image,
    read_pixels,
    to_eight_bits,
)

RED, BLUE = (255, 0, 0), (0, 0, 255)
LUMA_OF_RED = 76  # ITU-R 601: 0.299 · 255


def plain(path: Path, mode: str, colour: object, size: tuple[int, int] = (8, 8), **how: object) -> Path:
    Image.new(mode, size, colour).save(path, **how)
    return path


def png(width: int, height: int, rows: bytes, depth: int = 8, colour_type: int = 0) -> bytes:
    """A PNG written by hand, to be independent of Pillow's encoder."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_each_format_gives_its_colour(tmp_path, suffix):
    pnm_mode = {".pgm": "L"}.get(suffix, "RGB")
    colour = LUMA_OF_RED if pnm_mode == "L" else RED
    pixels = read_image(plain(tmp_path / f"a{suffix}", pnm_mode, colour), size=4, channels=3)
    expected = (LUMA_OF_RED,) * 3 if pnm_mode == "L" else RED
    assert pixels.shape == (3, 4, 4)
    assert pixels.dtype == np.uint8
    loss = 2 if suffix in (".jpg", ".jpeg", ".webp") else 0  # of compression
    assert np.abs(pixels.astype(int) - np.array(expected)[:, None, None]).max() <= loss


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("1", 1, ".png", (255, 255, 255)),
        ("L", 90, ".png", (90, 90, 90)),
        ("LA", (90, 255), ".png", (90, 90, 90)),
        ("LA", (90, 0), ".png", (255, 255, 255)),
        ("RGBA", (*RED, 255), ".png", RED),
        ("RGBA", (*RED, 0), ".png", (255, 255, 255)),
        ("RGBA", (*RED, 51), ".png", (255, 204, 204)),  # a fifth of the way from white
        ("RGBA", (*BLUE, 51), ".tif", (204, 204, 255)),
        ("CMYK", (0, 255, 255, 0), ".tif", RED),
        ("I;16", 65535, ".png", (255, 255, 255)),
        ("I;16", 32768, ".tif", (128, 128, 128)),
        ("I", 32768, ".pgm", (128, 128, 128)),
        ("I", 5140, ".tif", (20, 20, 20)),
    ],
)
def test_each_mode_gives_its_colour(tmp_path, mode, colour, suffix, expected):
    pixels = read_image(plain(tmp_path / f"a{suffix}", mode, colour), size=4, channels=3)
    assert [sorted(set(channel.ravel().tolist())) for channel in pixels] == [[value] for value in expected]


def test_cmyk_jpeg_is_read_as_colour(tmp_path):
    pixels = read_image(plain(tmp_path / "a.jpg", "CMYK", (0, 255, 255, 0), quality=100), size=4, channels=3)
    assert np.abs(pixels.astype(int) - np.array(RED)[:, None, None]).max() <= 3


def test_sixteen_bit_png_is_scaled_by_257_and_rounded_to_nearest(tmp_path):
    values = [0, 128, 129, 256, 257, 32767, 32768, 65406, 65407, 65535]
    expected = [round(v / 257) for v in values]  # 32768 / 257 = 127.50… -> 128; no value falls on a half
    assert expected == [0, 0, 1, 1, 1, 127, 128, 254, 255, 255]
    (tmp_path / "a.png").write_bytes(png(10, 10, b"".join(b"\0" + struct.pack(">10H", *values) for _ in range(10)), 16))
    pixels = read_image(tmp_path / "a.png", size=10, channels=1)
    assert pixels[0].tolist() == [expected] * 10


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_every_sixteen_bit_value_in_either_byte_order(mode):
    values = np.arange(65536).reshape(256, 256).astype("<u2" if mode == "I;16" else ">u2")
    flat = to_eight_bits(Image.frombytes(mode, (256, 256), values.tobytes()))
    assert np.array_equal(np.asarray(flat), np.rint(np.arange(65536) / 257).reshape(256, 256))


def wide_png(values: np.ndarray, significant: int = 0, colour: bool = False) -> bytes:
    """A 16-bit PNG, with the chunk sBIT where significant bits are given."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    content = png(width, height, rows, 16, 2 if colour else 0)
    if significant:
        data = bytes([significant])
        chunk = struct.pack(">I", 1) + b"sBIT" + data + struct.pack(">I", zlib.crc32(b"sBIT" + data))
        content = content[:33] + chunk + content[33:]  # after IHDR
    return content


RAMP = np.arange(64).reshape(8, 8)


@pytest.mark.parametrize(("largest", "bits"), [(255, 8), (1023, 10), (4095, 12)])
def test_few_bits_in_a_wide_file_are_refused_rather_than_black(tmp_path, largest, bits):
    values = RAMP * largest // 63
    (tmp_path / "a.png").write_bytes(wide_png(values))
    (tmp_path / "colour.png").write_bytes(wide_png(np.stack([values] * 3, -1), colour=True))
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "a.tif")
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "b.tif")
    for name in ("a.png", "colour.png", "a.tif", "b.tif"):
        with pytest.raises(UnreadableImage, match="almost black"):
            read_image(tmp_path / name, size=8, channels=1)
        with pytest.raises(UnreadableImage, match="almost black"):
            read_pixels(tmp_path / name)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_few_bits_are_scaled_where_the_file_states_them(tmp_path, bits):
    largest = (1 << bits) - 1
    values = RAMP * largest // 63
    expected = np.rint(values * 255 / largest)
    (tmp_path / "a.png").write_bytes(wide_png(values, significant=bits))
    rows = "".join(" ".join(map(str, row)) + "\n" for row in values.tolist())
    (tmp_path / "a.pgm").write_text(f"P2\n8 8\n{largest}\n{rows}")
    for name in ("a.png", "a.pgm"):
        assert np.abs(read_pixels(tmp_path / name)[0] - expected).max() <= 0.5
    aligned = values << (16 - bits)  # scaled to the whole range, as the specification of PNG wants it
    (tmp_path / "b.png").write_bytes(wide_png(aligned, significant=bits))
    assert np.array_equal(read_pixels(tmp_path / "b.png")[0], np.rint(aligned / 257))


def test_a_tiff_of_twelve_bits_is_scaled_by_them(tmp_path):
    """Written by hand: two pixels in three bytes."""
    pixels = bytes.fromhex("fff800") * 4
    entries = [(256, 4, 8), (257, 4, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 122), (277, 3, 1)]
    entries += [(278, 4, 1), (279, 4, len(pixels))]
    content = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    content += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries) + bytes(4)
    (tmp_path / "a.tif").write_bytes(content + pixels)
    assert len(content) == 122
    assert read_pixels(tmp_path / "a.tif")[0].tolist() == [[255, 128] * 4]


def test_black_on_transparent_is_read_at_sixteen_bits(tmp_path):
    rows = b"".join(b"\0" + struct.pack(">16H", *([0, 0, 0, 65535] * 2 + [0, 0, 0, 0] * 2)) for _ in range(4))
    (tmp_path / "a.png").write_bytes(png(4, 4, rows, 16, 6))
    assert read_pixels(tmp_path / "a.png")[0].tolist() == [[0, 0, 255, 255]] * 4


def test_a_black_image_of_any_width_is_black_and_a_dark_corner_is_no_range(tmp_path):
    (tmp_path / "black.png").write_bytes(wide_png(RAMP * 0))
    assert not read_pixels(tmp_path / "black.png").any()
    framed = np.full((8, 24), 65535)
    framed[:, 8:16] = 1000  # the centre, which is all that training sees
    (tmp_path / "framed.png").write_bytes(wide_png(framed))
    assert set(read_image(tmp_path / "framed.png", size=8, channels=1).ravel()) == {round(1000 / 257)}


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_stated_range_are_refused(tmp_path, mode):
    path = plain(tmp_path / "a.tif", mode, 70_000)
    with pytest.raises(UnreadableImage, match=r"range is not stated|outside 0 to 65535"):
        read_image(path, size=4, channels=3)


def test_every_alpha_over_white_is_exactly_rounded():
    alpha, grey = np.mgrid[0:256, 0:256]
    rgba = np.stack([grey, grey, grey, alpha], axis=-1).astype(np.uint8)
    exact = (grey * alpha + 255 * (255 - alpha)) / 255
    flat = np.asarray(to_eight_bits(Image.fromarray(rgba)))
    assert np.array_equal(flat[..., 0], np.floor(exact + 0.5))
    assert np.array_equal(flat[..., 1], flat[..., 2])


def test_premultiplied_alpha_gives_the_same_image():
    straight = Image.new("RGBA", (2, 2), (*RED, 51))
    assert to_eight_bits(straight.convert("RGBa")).getpixel((0, 0)) == (255, 204, 204)
    grey = Image.new("LA", (2, 2), (0, 51))
    assert to_eight_bits(grey.convert("La")).getpixel((0, 0)) == (204, 204, 204)


@pytest.mark.parametrize("transparent", [None, 0])
@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_palette_with_and_without_transparency(tmp_path, suffix, transparent):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (4, 0, 8, 8))
    image.save(tmp_path / f"a{suffix}", **({} if transparent is None else {"transparency": transparent}))
    pixels = read_image(tmp_path / f"a{suffix}", size=8, channels=3)
    assert tuple(pixels[:, 0, 0]) == (RED if transparent is None else (255, 255, 255))
    assert tuple(pixels[:, 0, 7]) == BLUE


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_png_whose_one_colour_is_transparent(tmp_path, mode):
    transparent = 10 if mode == "L" else (10, 10, 10)
    pixels = read_image(plain(tmp_path / "a.png", mode, transparent, transparency=transparent), size=4, channels=1)
    assert set(pixels.ravel()) == {255}


def test_an_animated_gif_gives_its_first_frame(tmp_path):
    Image.new("RGB", (8, 8), RED).save(
        tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), BLUE)]
    )
    assert tuple(read_image(tmp_path / "a.gif", size=4, channels=3)[:, 0, 0]) == RED


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_puts_the_dark_corner_top_left(tmp_path, suffix, orientation):
    upright = np.full((16, 16), 255, dtype=np.uint8)
    upright[:8, :8] = 0
    upright[:8, 8:] = 128  # top row dark then grey: no two orientations agree
    stored = {  # what a camera stores so that the stated orientation turns it upright (EXIF 2.3, tag 0x0112)
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if suffix == ".webp" else {"quality": 100} if suffix == ".jpg" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a{suffix}", exif=exif, **how)
    pixels = read_image(tmp_path / f"a{suffix}", size=16, channels=1)
    assert np.abs(pixels[0].astype(int) - upright).max() <= 3


def test_orientation_of_sixteen_bit_grey(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    image = Image.new("I;16", (8, 8), 0)
    image.paste(65535, (0, 0, 8, 4))
    image.save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png", size=8, channels=1)[0, :, 0].tolist() == [0] * 4 + [255] * 4


def test_grey_is_rec_601_luma(tmp_path):
    assert set(read_image(plain(tmp_path / "a.png", "RGB", RED), size=4, channels=1).ravel()) == {LUMA_OF_RED}


@pytest.mark.parametrize(("width", "height"), [(30, 10), (10, 30)])
def test_the_centre_is_kept(tmp_path, width, height):
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, ((width - 10) // 2, (height - 10) // 2, (width + 10) // 2, (height + 10) // 2))
    image.save(tmp_path / "a.png")
    assert set(map(tuple, read_image(tmp_path / "a.png", 10, 3).reshape(3, -1).T.tolist())) == {BLUE}


def test_shrinking_is_antialiased(tmp_path):
    checkers = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(checkers).save(tmp_path / "a.png")
    inner = read_image(tmp_path / "a.png", size=16, channels=1)[0, 2:-2, 2:-2]
    assert np.abs(inner.astype(int) - 127.5).max() <= 1  # without a filter it would be 0 or 255


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    size=st.integers(4, 33),
    channels=st.sampled_from([1, 3]),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
)
def test_any_image_becomes_channels_by_size_by_size(tmp_path_factory, width, height, size, channels, mode):
    path = tmp_path_factory.getbasetemp() / "any.png"
    Image.new(mode, (width, height)).save(path)
    pixels = read_image(path, size, channels)
    assert pixels.shape == (channels, size, size)
    assert pixels.dtype == np.uint8


@given(width=st.integers(1, 50), height=st.integers(1, 50))
def test_the_square_is_as_large_as_the_shorter_side(width, height):
    assert centre_square(Image.new("1", (width, height))).size == (min(width, height),) * 2


def photo(format: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["png", "jpeg", "bmp", "gif", "webp", "tiff", "ppm"])
@pytest.mark.parametrize("kept", [0.1, 0.6])
def test_truncated_files_are_unreadable(tmp_path, suffix, kept):
    content = photo(suffix)
    (tmp_path / f"a.{suffix}").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UnreadableImage, match=r"."):
        read_image(tmp_path / f"a.{suffix}", size=8, channels=3)


@given(noise=st.binary(min_size=1, max_size=200), header=st.sampled_from(["png", "jpeg", "gif", "tiff", "webp", "bmp"]))
def test_garbage_is_unreadable_or_read_and_never_another_error(tmp_path_factory, noise, header):
    path = tmp_path_factory.getbasetemp() / f"garbage.{header}"
    path.write_bytes(photo(header)[:40] + noise)
    with quiet_pillow():
        try:
            assert read_image(path, size=4, channels=3).shape == (3, 4, 4)
        except UnreadableImage as error:
            assert str(error)
            assert str(path) not in str(error)


def test_each_reason_is_named(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("this is not an image")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "postscript.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    reasons = {
        "empty.png": "empty file",
        "text.png": "not an image in a known format",
        "dangling.png": "not a regular file",
        "postscript.png": "not an image in a known format",  # Pillow would run Ghostscript on it
    }
    for name, reason in reasons.items():
        with pytest.raises(UnreadableImage) as caught:
            read_image(tmp_path / name, size=4, channels=3)
        assert str(caught.value) == reason


@pytest.mark.parametrize(
    "side", [9_500, 20_000]
)  # above Pillow's limit, and above twice that, where Pillow itself refuses
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png(side, side, b"\0" * 100))
    with quiet_pillow(), pytest.raises(UnreadableImage, match="exceeds limit"):
        read_image(tmp_path / "bomb.png", size=4, channels=3)


def test_unusual_files_cause_no_warnings(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([*RED, *BLUE])
    image.save(tmp_path / "a.png", transparency=b"\x00\xff")  # Pillow warns of it when converting
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet_pillow():
            assert set(read_image(tmp_path / "a.png", size=4, channels=3).ravel()) == {255}
