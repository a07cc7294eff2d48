"""Every model in models/ is held to its contract."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_model_has_contract_tests() -> None:
    models = {path.stem for path in (ROOT / "models").glob("*.py") if not path.stem.startswith("_")}
    assert models
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    for name in models:
        # Models of one family may share a file.
        about = [text for text in texts if f"from streamrec.models.{name} import" in text]
        assert sum(text.count("\ndef test_") for text in about) >= 5, name
