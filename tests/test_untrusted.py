"""Nothing that comes from outside is run: no pickle and its like, in our code or within its reach."""

import ast
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest
from faust.serializers import codecs
from sources import modules

from streamrec.config import load_settings
from streamrec.engine.app import create_app
from streamrec.engine.memory import MemoryLog
from streamrec.engine.reader import read_range
from streamrec.engine.runner import add_agent
from streamrec.engine.table import PartitionTable

SERVING = ("streamrec.agents.state", "streamrec.agents.scoring")

# Modules whose loading runs what the bytes say, or whose only use here would be that.
UNSAFE_MODULES = {"cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve"}
UNSAFE_CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("torch.load", "torch.jit.load", "torch.hub.load", "torch.export.load", "torch.package.PackageImporter"),
    *("yaml.load", "yaml.unsafe_load", "onnx.hub.load", "pd.read_pickle", "pandas.read_pickle"),
}


def unsafe(source: str) -> Iterator[str]:
    """What a source imports or calls that may run what it loads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.split(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom):
            if str(node.module).split(".")[0] in UNSAFE_MODULES:
                yield str(node.module)
            yield from (name for each in node.names if (name := f"{node.module}.{each.name}") in UNSAFE_CALLS)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in UNSAFE_CALLS or called.endswith("register_custom_ops_library"):
                yield called
            # numpy's default is safe, but says so nowhere.
            if called.split(".")[-1] in ("load", "save") and called.split(".")[0] in ("np", "numpy"):
                allowed = [each.value for each in node.keywords if each.arg == "allow_pickle"]
                if [ast.unparse(each) for each in allowed] != ["False"]:
                    yield f"{called} without allow_pickle=False"
            elif any(
                each.arg == "allow_pickle" and ast.unparse(each.value) != "False" for each in node.keywords
            ):
                yield f"{called} with allow_pickle"


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_module_of_ours_loads_what_could_run(module: str) -> None:
    assert list(unsafe(modules()[module].read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, marshal",
        "from pickle import loads",
        "from joblib.numpy_pickle import load",
        "from torch import load",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "np.save(file, value, allow_pickle=flag)",
        "read_array(file, allow_pickle=True)",
        "eval(text)",
        "options.register_custom_ops_library(path)",
        "def late():\n    import shelve",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(unsafe(source)) != []


@pytest.mark.parametrize(
    "source", ["import json", "np.load(file, allow_pickle=False)", "registry.load()", "re.compile(text)"]
)
def test_the_search_finds_nothing_else(source: str) -> None:
    assert list(unsafe(source)) == []


def test_the_apps_that_serve_import_no_trainer_and_no_other_way_to_unpickle() -> None:
    program = f"import sys, {', '.join(SERVING)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    ours = {name for name in found if name.split(".")[0] == "streamrec"}
    assert {*SERVING, "streamrec.signing", "streamrec.scorer", "streamrec.onnx_file"} <= ours
    assert ours <= set(modules())
    # pickle and marshal come with Python and Faust: the codecs below, and our sources above, count.
    assert not {name.split(".")[0] for name in found} & (
        UNSAFE_MODULES - {"pickle", "marshal"} | {"torch", "onnx", "onnxscript"}
    )


class Bomb:
    """What nobody may load."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    "codec", ["pickle", "pickle_restricted", "pickle_fickling", "raw|pickle", "json|pickle"]
)
def test_fausts_pickle_codecs_are_out_of_reach(codec: str) -> None:
    with pytest.raises((KeyError, AttributeError, TypeError)):
        codecs.loads(codec, pickle.dumps(Bomb()))
    assert not [name for name in codecs.codecs if "pickle" in name]


def test_an_app_takes_keys_and_values_as_raw_bytes() -> None:
    settings = load_settings()
    app = create_app(settings, "state")
    missing = partial(read_range, settings.kafka, "rows")
    table = PartitionTable(app, name="rows", topic="rows", log=MemoryLog(), partitions=1, missing=missing)

    async def handle(_: object) -> None:
        pass

    add_agent(app, "state", settings.kafka, "clicks", handle, before=lambda: handle(None))
    assert (app.conf.key_serializer, app.conf.value_serializer) == ("raw", "raw")
    channels = [agent.channel for agent in app.agents.values()]
    for topic in (*channels, table.changelog_topic):
        assert (topic.key_serializer, topic.value_serializer) == ("raw", "raw")
        assert (topic.key_type, topic.value_type) == (bytes, bytes)
    assert codecs.loads("raw", pickle.dumps(Bomb())) == pickle.dumps(Bomb())
