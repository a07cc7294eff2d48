"""Every model in models/ is held to its contract."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_model_has_contract_tests() -> None:
    models = {path.stem for path in (ROOT / "models").glob("*.py") if not path.stem.startswith("_")}
    assert models
    files = [path for path in Path(__file__).parent.glob("test_*.py") if "test_every_" not in path.name]
    texts = [path.read_text() for path in files]
    for name in models:
        # Models of one family may share a file.
        named = f"from streamrec.models.{name} import", f'"{name}"'
        about = [text for text in texts if any(each in text for each in named)]
        assert sum(text.count("\ndef test_") for text in about) >= 3, name  # beside those of every model
