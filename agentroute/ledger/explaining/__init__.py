"""Why a decision was taken, from its row and the rows around it."""
