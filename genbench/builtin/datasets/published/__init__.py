"""Published datasets, loaded through torchvision's classes and checksums: names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench

_HERE = "genbench.builtin.datasets.published"
_ROOT = "torchvision's root, which contains the files; empty: the cache directory, with a download if necessary"
_SIZE = "height and width in pixels after crop and antialiased resize"

Attribute = Literal[
    "none",
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
]
Category = Literal[
    "bedroom",
    "bridge",
    "church_outdoor",
    "classroom",
    "conference_room",
    "dining_room",
    "kitchen",
    "living_room",
    "restaurant",
    "tower",
]


@dataclass(frozen=True)
class PublishedOptions:
    """Options of `mnist`, `kmnist`, `cifar10` and `svhn`."""

    root: str = genbench.option("", _ROOT, folder=True)


@dataclass(frozen=True)
class CelebAOptions:
    """Options of `celeba`."""

    root: str = genbench.option("", _ROOT, folder=True)
    size: int = genbench.option(64, _SIZE, minimum=4)
    crop: int = genbench.option(178, "side of the centre crop from 178×218", minimum=16, maximum=178)
    attribute: Attribute = genbench.option(  # noqa: RUF009 - strings are immutable, which ruff does not see
        "none", "attribute that defines the two classes; none: no labels"
    )


@dataclass(frozen=True)
class STL10Options:
    """Options of `stl10`."""

    root: str = genbench.option("", _ROOT, folder=True)
    size: int = genbench.option(64, _SIZE, minimum=4)
    split: Literal["unlabeled", "train", "train+unlabeled"] = genbench.option(
        "unlabeled", "split to train on; only train has labels"
    )


@dataclass(frozen=True)
class LSUNOptions:
    """Options of `lsun`."""

    root: str = genbench.option(
        "", "the folder that contains CATEGORY_train_lmdb; empty: the cache directory", folder=True
    )
    size: int = genbench.option(64, _SIZE, minimum=4)
    category: Category = genbench.option(  # noqa: RUF009 - as above
        "bedroom", "one of the ten scene categories"
    )


@dataclass(frozen=True)
class ImageFolderOptions:
    """Options of `image-folder`."""

    path: str = genbench.option("", "the folder; usually written as image-folder:PATH", folder=True)
    size: int = genbench.option(64, _SIZE, minimum=4)
    channels: int = genbench.option(3, "3 for colour, 1 for grey", minimum=1, maximum=3)


def specs() -> Iterable[genbench.DatasetSpec]:
    """Yield the specs."""
    for name, summary, licence, source in (
        (
            "mnist",
            "handwritten digits, 60,000 training and 10,000 test images (LeCun et al. 1998)",
            "CC BY-SA 3.0",
            "http://yann.lecun.com/exdb/mnist",
        ),
        (
            "kmnist",
            "cursive Japanese characters, 60,000 training and 10,000 test images (Clanuwat et al. 2018)",
            "CC BY-SA 4.0",
            "https://github.com/rois-codh/kmnist",
        ),
    ):
        yield genbench.DatasetSpec(
            name=name,
            summary=summary,
            image_shape=(1, 28, 28),
            load=f"{_HERE}.{name}:load",
            signature=f"{_HERE}.{name}:signature",
            options=PublishedOptions,
            classes=10,
            train_size=60_000,
            licence=licence,
            source=source,
        )
    yield genbench.DatasetSpec(
        name="cifar10",
        summary="small photographs in ten classes, 50,000 training and 10,000 test images (Krizhevsky 2009)",
        image_shape=(3, 32, 32),
        load=f"{_HERE}.cifar10:load",
        signature=f"{_HERE}.cifar10:signature",
        options=PublishedOptions,
        classes=10,
        train_size=50_000,
        licence="none is stated; its authors ask to be cited",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
    )
    yield genbench.DatasetSpec(
        name="svhn",
        summary="house numbers, cropped to digits, 73,257 training and 26,032 test images (Netzer et al. 2011)",
        image_shape=(3, 32, 32),
        load=f"{_HERE}.svhn:load",
        signature=f"{_HERE}.svhn:signature",
        options=PublishedOptions,
        classes=10,
        train_size=73_257,
        licence="non-commercial use only",
        source="http://ufldl.stanford.edu/housenumbers",
    )
    # Where options determine the labels and the number of images, neither is declared.
    yield genbench.DatasetSpec(
        name="celeba",
        summary="aligned faces, 162,770 training and 19,962 test images (Liu et al. 2015)",
        image_shape=(3, 64, 64),
        load=f"{_HERE}.celeba:load",
        signature=f"{_HERE}.celeba:signature",
        options=CelebAOptions,
        licence="non-commercial research only",
        source="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    )
    yield genbench.DatasetSpec(
        name="stl10",
        summary="photographs, 100,000 unlabelled training and 8,000 test images in ten classes (Coates et al. 2011)",
        image_shape=(3, 64, 64),
        load=f"{_HERE}.stl10:load",
        signature=f"{_HERE}.stl10:signature",
        options=STL10Options,
        licence="none is stated; the images are from ImageNet",
        source="https://cs.stanford.edu/~acoates/stl10",
    )
    yield genbench.DatasetSpec(
        name="lsun",
        summary="one scene category, 126,227 to 3,033,042 images, 300 held out (Yu et al. 2015); needs lmdb",
        image_shape=(3, 64, 64),
        load=f"{_HERE}.lsun:load",
        signature=f"{_HERE}.lsun:signature",
        options=LSUNOptions,
        licence="none is stated; intended for research",
        source="not downloaded by genbench; https://github.com/fyu/lsun",
    )
    yield genbench.DatasetSpec(
        name="image-folder",
        summary="torchvision's layout (image-folder:PATH): CLASS/x.png, or train/CLASS/x.png with test/ or val/",
        image_shape=(3, 64, 64),
        load=f"{_HERE}.image_folder:load",
        signature=f"{_HERE}.image_folder:signature",
        options=ImageFolderOptions,
        argument="path",
        licence="that of the images",
        source="local image files",
    )
