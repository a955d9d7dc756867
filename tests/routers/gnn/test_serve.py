import numpy as np
import pytest

from agentroute.routers.gnn.arrays import VARIANTS, graph_arrays
from agentroute.routers.gnn.fitted import TrainConfig
from agentroute.routers.gnn.serve import influence, prepare, score_parts
from agentroute.routers.gnn.training.extra import load_torch
from agentroute.routers.gnn.training.loop import batch_of
from agentroute.routers.gnn.training.prepare import Preparation
from tests.routers.gnn.samples import EMBEDDER, card, cardset, examples


def material(variant="full", seed=0):
    """A network with random weights over a real graph, in torch and as arrays."""
    torch = load_torch()
    from agentroute.routers.gnn.training.net import RouterNet, statics

    table = examples(60, seed)
    preparation = Preparation(table, EMBEDDER, TrainConfig(variant=variant))
    prepared = preparation.prepare(np.arange(60), np.random.default_rng(seed))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = RouterNet(EMBEDDER.dim, 16, len(table.cards))
        with torch.no_grad():
            for p in net.parameters():
                p.add_(0.3 * torch.randn_like(p))
    cards = cardset(extra=[card("galaxy", "new one")])
    arrays = graph_arrays(prepared.knowledge, cards, variant)
    weights = {k: v.detach().numpy() for k, v in net.state_dict().items()}
    return net.eval(), statics(arrays), prepare(weights, arrays), prepared.rows


@pytest.mark.parametrize("variant", VARIANTS)
def test_numpy_equals_pytorch_geometric(variant):
    torch = load_torch()
    net, graph, served, rows = material(variant)
    with torch.inference_mode():
        batch = batch_of(rows, np.arange(20))
        z = net.reference(graph, batch).numpy()
        np.testing.assert_allclose(net(graph, batch).numpy(), z, atol=1e-5)
    for i in range(20):
        mine = sum(score_parts(served, rows.x[i], rows.entities[i]))
        np.testing.assert_allclose(mine, z[i], rtol=1e-5, atol=1e-5 * np.abs(z).max())


def test_a_task_that_mentions_nothing_known():
    torch = load_torch()
    net, graph, served, rows = material()
    alone = rows._replace(entities=[[]] * 60)
    with torch.inference_mode():
        z = net.reference(graph, batch_of(alone, np.arange(1))).numpy()[0]
    np.testing.assert_allclose(sum(score_parts(served, rows.x[0], [])), z, atol=1e-5)
    assert len(influence(served, rows.x[0], [], 0)) == 0


def test_influence_is_the_first_order_effect_of_taking_a_message_away():
    _, _, served, rows = material()
    x, entities = rows.x[0], rows.entities[0]
    small = served._replace(
        to_task=1e-3 * served.to_task,
        to_agent=1e-3 * served.to_agent,
        alpha=np.float32(1e-3) * served.alpha,
    )
    amounts = influence(small, x, entities, 1)
    nothing = served._replace(
        to_task=0 * served.to_task, to_agent=0 * served.to_agent, alpha=np.float32(0)
    )
    change = sum(score_parts(small, x, entities))[1] - sum(score_parts(nothing, x, entities))[1]
    assert amounts.sum() == pytest.approx(change, rel=0.05, abs=1e-6)
