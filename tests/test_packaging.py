"""One distribution, four packages: what is built, and that it works far from the checkout."""

import json
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {
    "robeval": "",
    "robeval_attacks": "attacks",
    "robeval_defenses": "defenses",
    "robeval_datasets": "datasets",
}


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A finished command; its output is the message when it fails."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def pip(python: Path, *words: object, cwd: Path) -> None:
    """The running interpreter's pip, at work in another environment and without a network."""
    run(sys.executable, "-m", "pip", "--python", python, *words, cwd=cwd)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


def environment(folder: Path) -> Path:
    """A fresh environment's Python that sees the dependencies of the running one, but not its robeval.

    A path from a .pth file is searched last, and the .pth files in it (an editable robeval) are not read.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    site = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    ).stdout.strip()
    outer = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site, "outer.pth").write_text("\n".join(sorted(outer)))
    return python


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with our wheel and a guest's."""
    folder = tmp_path_factory.mktemp("installed")
    python = environment(folder / "env")
    guest = ROOT / "examples" / "third_party_attack"
    (wheel,) = built.glob("*.whl")
    quiet = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    pip(python, *quiet, wheel, guest, cwd=folder)
    return python


def test_the_wheel_holds_four_packages_and_nothing_else(built: Path) -> None:
    """Neither tests nor the bare folders nor caches are shipped."""
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(HOMES)
    assert not [name for name in names if name.endswith(".pyc")]


@pytest.mark.parametrize(("package", "home"), HOMES.items())
def test_the_wheel_holds_every_module_of_the_checkout(built: Path, package: str, home: str) -> None:
    """Built through the sdist, so the sdist is complete too."""
    (wheel,) = built.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{package}/")}
    ours = {
        file.relative_to(ROOT / home).as_posix()
        for file in (ROOT / home / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert shipped == ours


def test_the_sdist_can_be_tested(built: Path) -> None:
    """Tests, examples and what the build reads are in it."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "tests/test_packaging.py"]
    assert {*wanted, "examples/third_party_attack/pyproject.toml"} <= names


def test_the_installed_wheel_runs_a_matrix_from_another_folder(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the wheel that runs, not the checkout, and a guest's attack is a row like any other."""
    where = run(installed, "-c", "import robeval; print(robeval.__file__)", cwd=tmp_path).stdout
    assert Path(where.strip()).is_relative_to(installed.parents[1])
    robeval = installed.parent / "robeval"
    assert "trajectory/drift" in run(robeval, "list", "attacks", cwd=tmp_path).stdout
    rows = ["-a", "none", "-a", "noise", "-a", "drift", "-d", "none"]
    size = ["--victim", "constant-velocity", "--max-examples", "8"]
    files = ["--out", "figures", "--json", "summary.json"]
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
    run(robeval, "run", "trajectory", *rows, *size, *files, cwd=tmp_path)
    cells = json.loads((tmp_path / "summary.json").read_text())["cells"]
    assert {cell["attack"].split(":")[0].split("/")[-1] for cell in cells} == {"none", "noise", "drift"}
    assert {(cell["status"], cell["n"], cell["invalid"]) for cell in cells} == {("done", 8, 0)}
    assert (tmp_path / "figures" / "run.json").is_file()


def test_an_installed_guest_keeps_lists_instant(installed: Path, tmp_path: Path) -> None:
    """A guest that names its class as text costs no import of torch."""
    code = "import sys; from robeval.cli.shell import call; call(['list']); print('torch' in sys.modules)"
    assert run(installed, "-c", code, cwd=tmp_path).stdout.splitlines()[-1] == "False"


def test_another_package_named_datasets_stays_visible_at_the_root(installed: Path) -> None:
    """Whoever works in the checkout gets Hugging Face's `datasets`, not our folder."""
    site = run(
        installed, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=ROOT
    ).stdout.strip()
    package = Path(site, "datasets")
    package.mkdir()
    (package / "__init__.py").write_text("HUGGING_FACE = True\n")
    assert (
        run(installed, "-c", "import datasets; print(datasets.HUGGING_FACE)", cwd=ROOT).stdout.strip()
        == "True"
    )


def test_an_editable_install_keeps_the_root_off_the_path(tmp_path: Path) -> None:
    """The checkout's modules are found one by one, so its bare folders hide nobody's package."""
    python = environment(tmp_path / "env")
    quiet = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    pip(python, *quiet, "--editable", ROOT, cwd=tmp_path)
    code = (
        "import json, sys, robeval, robeval_datasets as data; "
        "print(json.dumps([sys.path, robeval.__file__, data.__file__]))"
    )
    path, *files = json.loads(run(python, "-c", code, cwd=tmp_path).stdout)
    assert not {str(ROOT), *(str(ROOT / name) for name in ("attacks", "defenses", "datasets"))} & set(path)
    assert all(Path(file).is_relative_to(ROOT) for file in files)
    assert "trajectory/noise" in run(python.parent / "robeval", "list", cwd=tmp_path).stdout
