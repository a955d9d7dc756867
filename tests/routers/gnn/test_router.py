from agentroute.features.text import HashingEncoder
from agentroute.routers.gnn import GNNRouter
from agentroute.testing.routers import check_router

SMALL = {"hidden": 8, "epochs": 3}


def test_keeps_the_contract_of_routers():
    check_router(lambda: GNNRouter(HashingEncoder(64), config=SMALL))
