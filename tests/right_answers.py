"""Right bodies of the teaching notebooks' functions, in other words than the printed ones."""

RIGHT = [
    (
        "outlier_features",
        "kurtosis",
        "c = (h.T - h.mean(axis=1)).T\nm = (c**2).mean(axis=1)\n"
        "return float(((c**4).mean(axis=1) / m**2).mean())",
    ),
    (
        "outlier_features",
        "persistence",
        "z = (h - h.mean(axis=1)[:, None])**2\nwinners = [row.argmax() for row in z]\n"
        "most = max(set(winners), key=winners.count)\n"
        "return most, winners.count(most) / len(winners)",
    ),
    (
        "effective_robustness",
        "effective_robustness",
        "odds = np.exp(slope * logit(imagenet) + intercept)\nreturn shifted - odds / (1 + odds)",
    ),
    (
        "privileged_directions",
        "importance",
        "values, vectors = np.linalg.eigh(head.T @ head)\ns = np.sqrt(np.abs(values))[::-1]\n"
        "cosines = (h / np.sqrt((h**2).sum(axis=1))[:, None]) @ vectors[:, ::-1]\n"
        "return s / s.sum() * np.mean(np.abs(cosines), axis=0)",
    ),
    (
        "pruning",
        "pruning_curve",
        "kept = [list(order[: k + 1]) for k in range(len(order))]\n"
        "heads = [(left[:, k] * weights[k]) @ directions[k] for k in kept]\n"
        "return np.array([((h @ w.T).argmax(axis=1) == classes).mean() for w in heads])",
    ),
    (
        "concepts",
        "average_precision",
        "columns = []\nfor s in scores.T:\n    hit = positive[np.argsort(-s)]\n"
        "    at = np.flatnonzero(hit) + 1\n"
        "    columns.append(np.mean(np.arange(1, len(at) + 1) / at))\nreturn np.array(columns)",
    ),
    (
        "unread",
        "energy_along",
        "return float(np.square(directions @ h.T).sum() / np.square(h).sum())",
    ),
]
