"""Real orders for the local company: the retail CSV, the rules of its import, and its result.

Pure modules turn rows into orders (`reading`, `rules`, `orders`, `stock`) and prove the result
(`reconcile`); `publish` sends what came out as any outside publisher would; `report` prints it.
"""
