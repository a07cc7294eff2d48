"""Every model in models/ is held to its contract."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_model_has_contract_tests() -> None:
    models = {path.stem for path in (ROOT / "models").glob("*.py") if not path.stem.startswith("_")}
    assert models
    for name in models:
        tests = (Path(__file__).parent / f"test_{name}.py").read_text()
        assert f"from streamrec.models.{name} import" in tests
        assert tests.count("\ndef test_") >= 5
