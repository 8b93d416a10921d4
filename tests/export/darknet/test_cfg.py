"""The cfg reader takes what Darknet's own files use, and names section and line of anything else."""

from dataclasses import replace

import pytest

from exporters.darknet.cfg import parse_cfg, read_cfg
from exporters.darknet.layers import Convolutional, Maxpool, Route, Shape, Shortcut, Upsample, Yolo
from exporters.errors import DarknetError

SMALLEST = """[net]
width=64
height=32

[convolutional]
filters=18
size=1
activation=linear

[yolo]
mask=0,2
anchors=1,2, 3,4, 5.5,6
num=3
classes=4
"""

EVERYTHING = """
# a comment
; and another
[net]
width = 64
height=64
 max_batches = 500200
[convolutional]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=leaky
[convolutional]
filters=4
size=3
padding=1
groups=2
[maxpool]
stride=2
[upsample]
stride=2
[shortcut]
from=-3
activation=relu
[route]
layers=-1, 0
groups=2
group_id=1
[maxpool]
size=3
stride=1
padding=1
[convolutional]
filters=6
activation=linear
[yolo]
classes=1
anchors=10,20
scale_x_y=1.05
"""


def test_every_section_is_read_with_darknets_defaults():
    network = parse_cfg(EVERYTHING)
    assert (network.height, network.width, network.classes) == (64, 64, 1)
    strided, grouped, pool, up, shortcut, route, padded, _, yolo = network.layers
    assert strided == Convolutional("[convolutional] in line 8", (-1,), 4, 3, 2, 1, 1, True, "leaky")
    assert grouped == Convolutional("[convolutional] in line 15", (0,), 4, 3, 1, 1, 2, False, "logistic")
    assert pool == Maxpool("[maxpool] in line 20", (1,), size=2, stride=2, padding=1)
    assert up == Upsample("[upsample] in line 22", (2,), 2)
    assert shortcut == Shortcut("[shortcut] in line 24", (3, 1), "relu")
    assert route == Route("[route] in line 27", (4, 0), groups=2, group=1)
    assert padded == Maxpool("[maxpool] in line 31", (5,), size=3, stride=1, padding=1)
    assert yolo == Yolo("[yolo] in line 38", (7,), 1, ((10.0, 20.0),), 1.05)
    assert network.shapes() == (
        Shape(4, 32, 32),
        Shape(4, 32, 32),
        Shape(4, 16, 16),
        Shape(4, 32, 32),
        Shape(4, 32, 32),
        Shape(4, 32, 32),
        Shape(4, 31, 31),  # a total padding of 1 is one side's
        Shape(6, 31, 31),
        Shape(6, 31, 31),
    )


def test_masks_choose_anchors():
    (_, yolo) = parse_cfg(SMALLEST).layers
    assert isinstance(yolo, Yolo)
    assert yolo.anchors == ((1.0, 2.0), (5.5, 6.0))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("width=64", "width=64\nwidth=96", id="the first of two equal keys counts"),
        pytest.param("width=64", "width=64 # input; see below", id="a comment behind a value"),
        pytest.param("size=1", "size=1 ; of the kernel", id="a comment behind a value, with a semicolon"),
        pytest.param("size=1", "size=1\nstopbackward=1\nlearning_rate=.1", id="training of a layer"),
        pytest.param("size=1", "size=1\ntrain_only_bn=1", id="training of a layer, in the fork"),
        pytest.param("width=64", "width=64\nmosaic=1\nema_alpha=0.9998\nletter_box=1", id="training, in the fork"),
        pytest.param(
            "size=1", "size=1\ngrad_centr=1\nassisted_excitation=4000", id="training of a kernel, in the fork"
        ),
        pytest.param("width=64", "width=64\nlearning_rate_min=0.1\nshow_receptive_field=1", id="more of the fork"),
        pytest.param(
            "size=1",
            "size=1\ndilation=1\nantialiasing=0\nrotate=0\ndontload=0",
            id="the fork's keys that change nothing",
        ),
        pytest.param("classes=4", "classes=4\ncounters_per_class=1,2,3,4\nmax_delta=5", id="training of a head"),
    ],
)
def test_what_changes_nothing_at_inference_is_skipped(old, new):
    assert old in SMALLEST
    expected, found = parse_cfg(SMALLEST), parse_cfg(SMALLEST.replace(old, new, 1))
    assert (found.height, found.width) == (expected.height, expected.width)
    assert [replace(layer, section="") for layer in found.layers] == [
        replace(layer, section="") for layer in expected.layers
    ]


@pytest.mark.parametrize(
    ("keys", "mode"),
    [("", ""), ("letter_box=0", "stretch"), ("letter_box=1", "letterbox"), ("letter_box=0\nletter_box=1", "stretch")],
)
def test_letter_box_says_how_images_become_the_input(keys, mode):
    assert parse_cfg(SMALLEST.replace("width=64", f"width=64\n{keys}", 1)).resize_mode == mode


def test_a_comment_may_be_in_another_encoding(tmp_path):
    (tmp_path / "my.cfg").write_bytes(b"# f\xfcr H\xf6he\n" + SMALLEST.encode())
    assert read_cfg(tmp_path / "my.cfg").height == parse_cfg(SMALLEST).height


def test_a_byte_order_mark_is_no_part_of_a_cfg(tmp_path):
    (tmp_path / "my.cfg").write_text(SMALLEST, encoding="utf-8-sig")
    assert read_cfg(tmp_path / "my.cfg") == parse_cfg(SMALLEST)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("[yolo]", "[region]", r"\[region\] in line 10: unknown section", id="unknown section"),
        pytest.param("size=1", "siez=1", r"\[convolutional\] in line 5: unknown key siez", id="unknown key"),
        pytest.param("width=64", "widht=64", r"\[net\] in line 1: unknown key widht", id="unknown key of net"),
        pytest.param("width=64\n", "", r"\[net\] in line 1: width is missing", id="missing width"),
        pytest.param("size=1", "size=1\ndontload=1", r"unknown key dontload", id="weights that are not loaded"),
        pytest.param("size=1", "size=1\ndilation=2", r"unknown key dilation", id="a dilated kernel"),
        pytest.param("size=1", "size=#1", "neither .section. nor key=value", id="a comment for a value"),
        pytest.param("width=64", "width=65", "width must be a multiple of 32, not 65", id="odd width"),
        pytest.param("width=64", "width=0", "width must be 32 or more, not 0", id="no width"),
        pytest.param("width=64", "width=64\nchannels=1", "only images of 3 channels", id="greyscale"),
        pytest.param("[net]", "[convolutional]", r"first section must be \[net\]", id="no net"),
        pytest.param("size=1", "size=one", "size=one is not one number", id="not a number"),
        pytest.param("size=1", "size=1,2", "size=1,2 is not one number", id="two numbers"),
        pytest.param("size=1", "size=0", "size must be 1 or more", id="size 0"),
        pytest.param("size=1", "size=1\nxnor=1", "xnor=1 is not supported", id="binary convolution"),
        pytest.param("size=1", "size=1\ngroups=2", "3 channels do not divide into 2 groups", id="groups"),
        pytest.param("activation=linear", "activation=swish", "activation swish is not supported", id="activation"),
        pytest.param("filters=18", "filters=17", "2 anchors and 4 classes take 18 channels", id="filters of a head"),
        pytest.param("mask=0,2", "mask=0,3", "mask names anchors that do not exist", id="mask"),
        pytest.param("num=3", "num=4", "num=4 takes 8 numbers in anchors, not 6", id="anchors"),
        pytest.param("5.5,6", "5.5,nan", "is not a list of numbers", id="anchor that is no number"),
        pytest.param("5.5,6", "5.5,-6", "anchors must be positive", id="negative anchor"),
        pytest.param("classes=4", "classes=4\nnew_coords=1", "new_coords=1 is not supported", id="new_coords"),
        pytest.param("[yolo]", "[yolo", "line 10: '.yolo' lacks its closing bracket", id="bracket"),
        pytest.param("size=1", "size", "line 7: 'size' is neither", id="no value"),
        pytest.param("[yolo]", "[route]\nlayers=1\n[yolo]", "layers names layer 1, which is not before", id="itself"),
        pytest.param("[yolo]", "[route]\nlayers=-2\n[yolo]", "layers names layer -2", id="before the first"),
        pytest.param("[yolo]", "[shortcut]\nfrom=-2\n[yolo]", "from must be -1 or more", id="shortcut to nothing"),
        pytest.param("[yolo]", "[maxpool]\nstride=2\n[shortcut]\nfrom=0\n[yolo]", "different shapes", id="shortcut"),
        pytest.param("[yolo]", "[maxpool]\nstride=2\n[route]\nlayers=0,1\n[yolo]", "differ in height", id="route"),
        pytest.param("[yolo]", "[upsample]\nscale=2\n[yolo]", "scale other than 1", id="scaled upsampling"),
        pytest.param("size=1", "size=99", "no pixels are left", id="kernel larger than the image"),
    ],
)
def test_what_it_does_not_know_is_an_error_with_a_place(old, new, message):
    assert old in SMALLEST
    with pytest.raises(DarknetError, match=message):
        parse_cfg(SMALLEST.replace(old, new, 1))


def test_a_network_without_detections_is_refused():
    with pytest.raises(DarknetError, match=r"no \[yolo\] section"):
        parse_cfg(SMALLEST[: SMALLEST.index("[yolo]")])


def test_layers_may_not_read_detections():
    with pytest.raises(DarknetError, match=r"\[maxpool\] in line 15: it reads a \[yolo\] section"):
        parse_cfg(SMALLEST + "[maxpool]\nstride=1\n")


def test_heads_must_agree_on_classes():
    other = SMALLEST[SMALLEST.index("[yolo]") :].replace("classes=4", "classes=1").replace("mask=0,2", "mask=0,1,2")
    with pytest.raises(DarknetError, match=r"\[yolo\] in line 17: classes differ"):
        parse_cfg(SMALLEST + "[route]\nlayers=0\n" + other)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "my.weights"
    path.write_bytes(b"\x00\xff\xfe\x80")
    with pytest.raises(DarknetError, match=r"my.weights is not a text file"):
        read_cfg(path)


def test_the_message_names_the_file(tmp_path):
    path = tmp_path / "my.cfg"
    path.write_text("[net]\n")
    with pytest.raises(DarknetError, match=r"my.cfg: \[net\] in line 1: height is missing"):
        read_cfg(path)
