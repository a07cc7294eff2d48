"""Many versions of one model, each with lists of its own: trained once, then shaken and published."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from streamrec.config import Settings
from streamrec.contracts import TrainOptions
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.registry import Registry

__all__ = ["MODEL", "publish_versions"]

MODEL: Final = (
    "GRU4Rec, 100 units, trained for one epoch on the bundled clicks; its versions are shaken copies"
)
_SHAKE: Final = 0.2
"""Standard deviation of the factor that every weight is multiplied with is this."""


def publish_versions(settings: Settings, n: int, on_step: Callable[..., None]) -> Iterator[str]:
    """Train a model of real size, and publish n versions of it, signed; gives the name of each."""
    import torch

    from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig

    model = GRU4Rec(GRU4RecConfig(epochs=1, batch_size=256, n_sample=1024))
    model.train(click_sessions(bundled_clicks()), TrainOptions(device="cpu", on_step=on_step))
    network: Any = model.network
    trained = {name: value.clone() for name, value in network.state_dict().items()}
    draw = torch.Generator().manual_seed(0)
    for _ in range(n):
        factors = {
            name: 1 + _SHAKE * torch.randn(value.shape, generator=draw) for name, value in trained.items()
        }
        network.load_state_dict({name: value * factors[name] for name, value in trained.items()})
        yield model.publish(Registry.of(settings))
