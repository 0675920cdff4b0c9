"""User modules reach a worker that has none of them; client and worker are real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis_queue_shipping_rig import run_client, write_files


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "client"
    folder.mkdir()
    return folder


def test_file_beside_the_script_and_what_it_imports(project: Path) -> None:
    write_files(
        project,
        {
            "helper.py": "import deeper\ndef twice(x):\n    return deeper.add(x, x)\n",
            "deeper.py": "def add(x, y):\n    import lazy\n    return lazy.identity(x + y)\n",
            "lazy.py": "def identity(x):\n    return x\n",
            "unused.py": "",
        },
    )
    printed = run_client(
        project, "import helper\nprint(rig.run(helper.twice, 21), len(rig.uploads))"
    )
    assert printed == "42 3\n"


def test_package_with_relative_imports_and_data(project: Path) -> None:
    write_files(
        project,
        {
            "tool/__init__.py": "from .api import run\n",
            "tool/api.py": (
                "import importlib.resources\nfrom pathlib import Path\nfrom .sub import inner\n"
                "def run():\n"
                "    near = Path(__file__).with_name('words.txt').read_text()\n"
                "    far = (importlib.resources.files('tool') / 'words.txt').read_text()\n"
                "    return inner.value(), near, far\n"
            ),
            "tool/sub/__init__.py": "",
            "tool/sub/inner.py": "from .. import base\ndef value():\n    return base.VALUE\n",
            "tool/base.py": "VALUE = 7\n",
            "tool/words.txt": "word",
        },
    )
    printed = run_client(project, "import tool\nprint(rig.run(tool.run))")
    assert printed == "(7, 'word', 'word')\n"


def test_program_inside_a_package_stays_executable(project: Path) -> None:
    write_files(
        project,
        {
            "runner/__init__.py": (
                "import subprocess\nfrom pathlib import Path\n"
                "def run():\n"
                "    program = Path(__file__).with_name('hello')\n"
                "    return subprocess.run([program], capture_output=True, text=True).stdout\n"
            ),
            "runner/hello": "#!/bin/sh\necho hello\n",
        },
    )
    (project / "runner" / "hello").chmod(0o755)
    assert run_client(project, "import runner\nprint(rig.run(runner.run))") == "hello\n\n"


def test_instances_come_back_as_the_clients_own_class(project: Path) -> None:
    write_files(
        project,
        {
            "shapes.py": (
                "from dataclasses import dataclass\nfrom enum import Enum\n"
                "class Kind(Enum):\n    ROUND = 1\n"
                "@dataclass\nclass Shape:\n    kind: Kind\n    size: int\n"
                "    def grown(self):\n        return Shape(self.kind, self.size + 1)\n"
            )
        },
    )
    script = """\
from shapes import Kind, Shape
shape = rig.run(Shape.grown, Shape(Kind.ROUND, 1))
assert type(shape) is Shape and shape.kind is Kind.ROUND
print(shape, rig.run(Shape(Kind.ROUND, 5).grown).size)"""
    assert run_client(project, script) == "Shape(kind=<Kind.ROUND: 1>, size=2) 6\n"


def test_exception_of_a_user_module_with_source_lines_in_its_traceback(project: Path) -> None:
    write_files(
        project,
        {
            "trouble.py": (
                "class Trouble(Exception):\n"
                "    def __init__(self, code, *, where):\n"
                "        super().__init__(f'trouble {code}')\n"
                "        self.code, self.where = code, where\n"
                "def work():\n    raise Trouble(5, where='here')  # look here\n"
            )
        },
    )
    script = """\
import trouble
try:
    rig.run(trouble.work)
except trouble.Trouble as error:
    print(error, error.code, error.where)
    print(error.__cause__)"""
    printed = run_client(project, script)
    assert printed.startswith("trouble 5 5 here\n")
    assert "raise Trouble(5, where='here')  # look here" in printed
    assert "dockerparallel" not in printed


def test_functions_of_the_script_bring_the_modules_that_they_import(project: Path) -> None:
    write_files(
        project,
        {
            "one.py": "def get():\n    return 1\n",
            "two/__init__.py": "",
            "two/part.py": "def get():\n    return 2\n",
            "three.py": "N = 3\n",
            "four.py": "N = 4\n",
            "five.py": "N = 5\n",
        },
    )
    script = """\
import one
import importlib
def by_global():
    return one.get()
def by_import():
    import two.part
    from three import N
    return (lambda: two.part.get() + N)()
def by_nested_import():
    def inner():
        import four
        return four.N
    return inner()
def by_literal():
    return importlib.import_module('five').N
offset = 10
print(rig.run(by_global), rig.run(by_import), rig.run(by_nested_import), rig.run(by_literal),
      rig.run(lambda x: x + offset + one.get(), 1))"""
    assert run_client(project, script) == "1 5 4 5 12\n"


def test_script_run_as_part_of_a_package(project: Path) -> None:
    write_files(
        project,
        {
            "app/__init__.py": "",
            "app/other.py": "N = 11\n",
            "app/tool.py": (
                "import os\nfrom redis_queue_shipping_rig import Rig\n"
                "def work():\n    from . import other\n    from .other import N\n"
                "    return other.N + N\n"
                "with Rig(os.environ['RIG_FOLDER']) as rig:\n    print(rig.run(work))\n"
            ),
        },
    )
    assert run_client(project, "", arguments=("-m", "app.tool")) == "22\n"


def test_edited_module_is_shipped_anew_reloaded_or_not(project: Path) -> None:
    write_files(
        project,
        {
            "moving.py": "import below\ndef get():\n    return 'a' + below.NAME\n",
            "below.py": "NAME = 'x'\n",
        },
    )
    # The edits have the same size and follow at once: the time stamps of the files may be equal.
    script = """\
import importlib, moving
from pathlib import Path
seen = [rig.run(moving.get)]
source = Path('moving.py').read_text()
for letter in 'bcdefgh':
    Path('moving.py').write_text(source.replace("'a'", repr(letter)))
    seen.append(rig.run(moving.get))
importlib.invalidate_caches()
importlib.reload(moving)
seen.append(rig.run(moving.get))
Path('below.py').write_text("NAME = 'y'\\n")
seen.append(rig.run(moving.get))
Path('below.py').write_text("NAME = 'x'\\n")
seen.append(rig.run(moving.get))
print(*seen, len(rig.uploads), len(set(rig.uploads)))"""
    assert run_client(project, script) == "ax bx cx dx ex fx gx hx hx hy hx 10 10\n"


def test_file_added_to_a_package_is_seen(project: Path) -> None:
    write_files(
        project,
        {
            "grow/__init__.py": (
                "def names():\n    from pathlib import Path\n"
                "    return sorted(p.name for p in Path(__file__).parent.glob('*.txt'))\n"
            ),
            "grow/a.txt": "",
        },
    )
    script = """\
import grow
from pathlib import Path
before = rig.run(grow.names)
Path('grow/b.txt').write_text('')
middle = rig.run(grow.names)
Path('grow/a.txt').unlink()
print(before, middle, rig.run(grow.names))"""
    assert run_client(project, script) == "['a.txt'] ['a.txt', 'b.txt'] ['b.txt']\n"


def test_modules_that_cannot_be_imported_again_go_by_value(project: Path) -> None:
    write_files(
        project,
        {
            "odd-name.py": (
                "OFFSET = 100\n"
                "class Box:\n    def __init__(self, x):\n        self.x = x\n"
                "def work(x):\n    return Box(x + OFFSET)\n"
            )
        },
    )
    script = """\
import importlib.util, sys, types
spec = importlib.util.spec_from_file_location('tests.unit.odd', 'odd-name.py')
odd = sys.modules['tests.unit.odd'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(odd)
made = sys.modules['made'] = types.ModuleType('made')
exec('def get():\\n    return helper() + 1\\ndef helper():\\n    return 1', made.__dict__)
def by_module():
    return made.get()
box = rig.run(odd.work, 1)
print(type(box) is odd.Box, box.x, rig.run(made.get), rig.run(by_module), rig.uploads)"""
    assert run_client(project, script) == "True 101 2 2 []\n"


def test_module_named_like_a_standard_one_goes_by_value(project: Path) -> None:
    write_files(project, {"colorsys.py": "def mine():\n    return 'mine'\n"})
    script = "import colorsys\nprint(rig.run(colorsys.mine), rig.uploads)"
    assert run_client(project, script) == "mine []\n"


def test_module_whose_folder_left_the_path_is_still_shipped(project: Path) -> None:
    write_files(project, {"aside/gone.py": "def work():\n    return 'here'\n"})
    script = """\
import sys
sys.path.insert(0, 'aside')
import gone
sys.path.remove('aside')
print(rig.run(gone.work), len(rig.uploads))"""
    assert run_client(project, script) == "here 1\n"


def test_module_that_becomes_importable_is_shipped_from_then_on(project: Path) -> None:
    write_files(project, {"aside/late.py": "N = 1\ndef work():\n    return N\n"})
    script = """\
import importlib.util, sys
spec = importlib.util.spec_from_file_location('late', 'aside/late.py')
late = sys.modules['late'] = importlib.util.module_from_spec(spec)
late.__spec__.origin = late.__spec__.origin + '.hidden'
spec.loader.exec_module(late)
first = rig.run(late.work), len(rig.uploads)
sys.path.insert(0, 'aside')
print(first, rig.run(late.work), len(rig.uploads))"""
    assert run_client(project, script) == "(1, 0) 1 1\n"


def test_namespace_package_with_two_portions(project: Path) -> None:
    write_files(
        project,
        {
            "left/space/here.py": "import space.there\ndef work():\n    return space.there.N\n",
            "right/space/there.py": "N = 9\n",
        },
    )
    printed = run_client(
        project,
        "import space.here\nprint(rig.run(space.here.work), len(rig.uploads))",
        python_path=(project / "left", project / "right"),
    )
    assert printed == "9 1\n"


def test_source_checkout_finds_its_own_metadata(project: Path, tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "checkout/src/versioned/__init__.py": (
                "from importlib.metadata import version\n__version__ = version('Versioned-Tool')\n"
                "def get():\n    return __version__\n"
            ),
            "fake/site-packages/versioned_tool-3.2.dist-info/METADATA": (
                "Metadata-Version: 2.1\nName: Versioned-Tool\nVersion: 3.2\n"
            ),
            "fake/site-packages/versioned_tool-3.2.dist-info/direct_url.json": (
                f'{{"url": "file://{tmp_path}/checkout", "dir_info": {{"editable": true}}}}'
            ),
        },
    )
    printed = run_client(
        project,
        "import versioned\nprint(rig.run(versioned.get))",
        python_path=(tmp_path / "checkout" / "src", tmp_path / "fake" / "site-packages"),
    )
    assert printed == "3.2\n"


def test_installed_modules_are_not_shipped_and_a_missing_one_is_named(
    project: Path, tmp_path: Path
) -> None:
    site = tmp_path / "fake" / "site-packages"
    write_files(
        site,
        {
            "only_here.py": "def work():\n    return 1\n",
            "only_here_dist-1.5.dist-info/METADATA": "Name: only-here-dist\nVersion: 1.5\n",
            "only_here_dist-1.5.dist-info/top_level.txt": "only_here\n",
        },
    )
    write_files(project, {"mine.py": "def work():\n    import only_here\n    return only_here\n"})
    script = """\
import joblib, math, only_here, mine
print(rig.run(joblib.hash, 1) == joblib.hash(1), rig.run(math.sqrt, 4.0), rig.uploads)
try:
    rig.run(only_here.work)
except ModuleNotFoundError as error:
    print(type(error).__name__, error.name)
    print(error)
    print(*error.__notes__)
try:
    rig.run(mine.work)
except ModuleNotFoundError as error:
    print(type(error).__name__, error.name)
    print(*error.__notes__)"""
    lines = run_client(project, script, python_path=(site,)).splitlines()
    assert lines[:2] == ["True 2.0 []", "ModuleNotOnWorkerError only_here"]
    assert 'cluster.worker_container.add_pip_packages("only_here")' in lines[2]
    assert 'add_pip_packages("only-here-dist==1.5")' in lines[3]
    assert lines[4] == "ModuleNotFoundError only_here"
    assert 'add_pip_packages("only-here-dist==1.5")' in lines[5]


def test_module_imported_by_a_computed_name_is_explained(project: Path) -> None:
    write_files(project, {"sly.py": ""})
    script = """\
import importlib
def work():
    return importlib.import_module(''.join(['s', 'ly']))
try:
    rig.run(work)
except ModuleNotFoundError as error:
    print(*error.__notes__)"""
    assert "'sly' is your own" in run_client(project, script)


def test_test_modules_of_pytest_work_in_both_import_modes(project: Path) -> None:
    write_files(
        project,
        {
            "tests/unit/near.py": "N = 5\n",
            "tests/unit/test_inside.py": (
                "import os\n"
                "from redis_queue_shipping_rig import Rig\n"
                "class Box:\n    pass\n"
                "def make():\n    box = Box()\n    box.n = 5\n    return box\n"
                "def test_it():\n"
                "    with Rig(os.environ['RIG_FOLDER']) as rig:\n"
                "        box = rig.run(make)\n"
                "        assert isinstance(box, Box) and box.n == 5\n"
            ),
        },
    )
    for mode in ("prepend", "importlib"):
        printed = run_client(
            project,
            "",
            arguments=("-m", "pytest", "-q", f"--import-mode={mode}", "-p", "no:cacheprovider"),
        )
        assert "1 passed" in printed
