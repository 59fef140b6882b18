"""Data sets: a directory with a directory of images for each class. Nothing is decoded here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelzoo.datasets import DataSet, classes, find, held_out


@pytest.fixture
def fire(tmp_path):
    return made(tmp_path / "fire", {"Fire": 8, "NonFire": 9})


def made(directory: Path, counts: dict[str, int]) -> Path:
    directory.mkdir()
    for name, count in counts.items():
        (directory / name).mkdir()
        for number in range(count):
            (directory / name / f"{number:02}.jpg").write_bytes(f"{name} {number}".encode())
    return directory


def test_the_digits_are_no_directory():
    assert find("digits") == DataSet("digits", epochs=10, directory=None, sha256=None)


def test_a_directory_gives_its_name_and_its_classes(fire):
    found = find(str(fire))
    assert (found.name, found.epochs, found.option) == ("fire", 50, str(fire))
    assert {name: len(files) for name, files in classes(fire).items()} == {"Fire": 8, "NonFire": 9}


def test_images_may_lie_deeper_and_hidden_files_are_none(fire):
    (fire / "Fire/more").mkdir()
    (fire / "Fire/more/x.png").write_bytes(b"x")
    (fire / "Fire/.DS_Store").write_bytes(b"x")
    (fire / ".git").mkdir()
    (fire / ".git/x").write_bytes(b"x")
    (fire / "README.txt").write_bytes(b"x")
    assert [file.name for file in classes(fire)["Fire"]][-2:] == ["07.jpg", "x.png"]
    assert list(classes(fire)) == ["Fire", "NonFire"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda fire: (fire / "Fire/00.jpg").write_bytes(b"other"), id="another image"),
        pytest.param(lambda fire: (fire / "Fire/00.jpg").rename(fire / "NonFire/00a.jpg"), id="another class"),
        pytest.param(lambda fire: (fire / "NonFire").rename(fire / "Smoke"), id="another name of a class"),
        pytest.param(lambda fire: (fire / "Fire/new.jpg").write_bytes(b"new"), id="one more"),
    ],
)
def test_the_sha256_is_of_what_is_trained_on(fire, change):
    (fire / "Fire/08.jpg").write_bytes(b"a ninth, so that one may go")
    before = find(str(fire)).sha256
    assert find(str(fire)).sha256 == before
    change(fire)
    assert find(str(fire)).sha256 != before


def test_the_sha256_is_not_of_where_it_lies(fire, tmp_path):
    before = find(str(fire)).sha256
    (tmp_path / "elsewhere").mkdir()
    assert find(str(fire.rename(tmp_path / "elsewhere/fire"))).sha256 == before


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        pytest.param({}, "a directory of images for each of two classes or more expected, 0 found", id="none"),
        pytest.param({"Fire": 8, "NonFire": 0}, "two classes or more expected, 1 found (Fire)", id="one class"),
        pytest.param({"Fire": 7, "NonFire": 8}, "class 'Fire' has 7 images, 8 or more expected", id="few images"),
        pytest.param({"Fire": 9, "NonFire": 1}, "class 'NonFire' has 1 image, 8 or more expected", id="one image"),
    ],
)
def test_what_cannot_be_trained_on_is_said(tmp_path, counts, said):
    directory = made(tmp_path / "some", counts)
    with pytest.raises(ValueError, match=f"^data set {re.escape(str(directory))}: .*{re.escape(said)}$"):
        find(str(directory))


def test_no_directory_takes_the_name_of_something_else(tmp_path):
    directory = made(tmp_path / "random", {"Fire": 8, "NonFire": 8})
    with pytest.raises(ValueError, match="a data set goes by its directory's name, and 'random' is taken; rename it"):
        find(str(directory))


def test_a_file_instead_of_a_directory_is_said(tmp_path):
    (tmp_path / "fire.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"data set .*fire.zip cannot be read \(Not a directory\)"):
        find(str(tmp_path / "fire.zip"))


@pytest.fixture
def pet(tmp_path):
    return made_pet(tmp_path / "cats")


def made_pet(directory: Path, breeds: tuple[str, ...] = ("Abyssinian", "great_pyrenees")) -> Path:
    """Nine images of each breed, of which the data set holds two out; contents are no images."""
    (directory / "images").mkdir(parents=True)
    (directory / "annotations").mkdir()
    lines = [f"{breed}_{image} {number} 1 1" for number, breed in enumerate(breeds, start=1) for image in range(1, 10)]
    for line in lines:
        (directory / f"images/{line.split()[0]}.jpg").write_text(line)
    (directory / "images/Abyssinian_100.mat").write_text("no image")
    (directory / "annotations/list.txt").write_text("\n".join(["#Image CLASS-ID SPECIES BREED ID", *reversed(lines)]))
    (directory / "annotations/test.txt").write_text("\n".join(line for line in lines if "_8 " in line or "_9 " in line))
    return directory


def test_a_copy_of_pet_has_the_breeds_of_its_list_and_holds_out_what_it_says(pet):
    assert find(str(pet)).name == "cats"
    found = classes(pet)
    assert {name: len(files) for name, files in found.items()} == {"Abyssinian": 9, "great pyrenees": 9}
    assert found["great pyrenees"][0] == pet / "images/great_pyrenees_1.jpg"
    assert held_out(pet) == {"Abyssinian_8", "Abyssinian_9", "great_pyrenees_8", "great_pyrenees_9"}
    (pet / "annotations/test.txt").unlink()
    assert held_out(pet) is None


@pytest.mark.parametrize("file", ["test.txt", "list.txt"])
def test_the_sha256_of_pet_is_of_what_its_annotations_say_too(pet, file):
    before = find(str(pet)).sha256
    path = pet / "annotations" / file
    path.write_text(path.read_text().replace("Abyssinian_9 1", "Abyssinian_9 2" if file == "list.txt" else "pug_1 1"))
    assert find(str(pet)).sha256 != before


def test_a_copy_of_pet_may_go_by_its_own_name_and_a_line_of_its_list_that_is_none_is_named(tmp_path):
    pet = made_pet(tmp_path / "pets")
    assert find(str(pet)).name == "pets"
    (pet / "annotations/list.txt").write_text("#Image\nAbyssinian_1 one\n")
    with pytest.raises(ValueError, match=r"list\.txt, line 2: the name of an image and the number of its breed"):
        find(str(pet))
