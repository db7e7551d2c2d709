"""Bodies of the teaching notebooks' functions, by notebook and function: wrong ones, and right ones
in other words. Each is a mistake that somebody made, or a small change of the printed body.
"""

KURTOSIS = "c = h - h.mean(axis=1, keepdims=True)\n"
WRONG_BODIES = {
    ("outlier_features", "kurtosis"): [
        KURTOSIS + "return (c**4).mean()",
        KURTOSIS + "return ((c / c.std(axis=1, keepdims=True))**4).mean() - 3",
        KURTOSIS + "return ((c / c.std())**4).mean(axis=1).mean()",
        KURTOSIS + "return ((c / c.std(axis=1, keepdims=True))**2).mean()",
        KURTOSIS + "return ((c / c.std(axis=1, keepdims=True))**3).mean()",
        KURTOSIS + "return ((c / c.std(axis=1, keepdims=True, ddof=1))**4).mean()",
        KURTOSIS + "return (c**4).mean() / (c**2).mean()**2",
        "return ((h / h.std(axis=1, keepdims=True))**4).mean()",
        "c = h - h.mean(axis=0)\nreturn ((c / c.std(axis=0))**4).mean()",
        "c = h - h.mean()\nreturn ((c / c.std())**4).mean()",
        KURTOSIS + "return ((c / c.std(axis=1, keepdims=True))**4).mean(axis=1)",
        KURTOSIS + "return ((c / c.std(axis=1, keepdims=True))**4).sum(axis=1).mean()",
        KURTOSIS + "return np.abs(c / c.std(axis=1, keepdims=True)).max(axis=1).mean()",
        KURTOSIS + "return np.median(((c / c.std(axis=1, keepdims=True))**4).mean(axis=1)) + 1e-3",
    ],
    ("outlier_features", "persistence"): [
        "d = h.argmax(axis=1)\nc = np.bincount(d)\nreturn c.argmax(), c.max() / len(h)",
        "d = np.abs(h).argmax(axis=1)\nc = np.bincount(d)\nreturn c.argmax(), c.max() / len(h)",
        "d = (h - h.mean(axis=1, keepdims=True)).argmax(axis=1)\nc = np.bincount(d)\n"
        "return c.argmax(), c.max() / len(h)",
        "d = np.abs(h - h.mean(axis=0)).argmax(axis=1)\nc = np.bincount(d)\n"
        "return c.argmax(), c.max() / len(h)",
        "d = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=0)\nc = np.bincount(d)\n"
        "return c.argmax(), c.max() / len(h)",
        "d = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)\nc = np.bincount(d)\n"
        "return c.argmax(), c.max() / h.shape[1]",
        "d = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)\nc = np.bincount(d)\n"
        "return c.argmax(), c.max()",
        "d = np.abs(h - h.mean(axis=1, keepdims=True)).argmin(axis=1)\nc = np.bincount(d)\n"
        "return c.argmax(), c.max() / len(h)",
        "d = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)\nc = np.bincount(d)\n"
        "return c.max(), c.max() / len(h)",
        "d = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)\nc = np.bincount(d)\n"
        "return c.argmax(), c.mean() / len(h)",
        "d = np.abs(h - h.mean(axis=1, keepdims=True)).mean(axis=0)\n"
        "return d.argmax(), d.max() / d.sum()",
    ],
    ("outlier_features", "share_of_mean"): [
        "return h.mean(axis=0).sum()**2 / (h**2).sum(axis=1).mean()",
        "return (h.mean(axis=0)**2).mean() / (h**2).sum(axis=1).mean()",
        "return (h.mean(axis=1)**2).sum() / (h**2).sum(axis=1).mean()",
        "return np.linalg.norm(h.mean(axis=0)) / np.linalg.norm(h, axis=1).mean()",
        "return (h.mean(axis=0)**2).sum() / (h**2).sum()",
        "return (h.mean(axis=0)**2).sum()",
        "return np.abs(h.mean(axis=0)).sum() / np.abs(h).sum(axis=1).mean()",
        "return 1 - (h.mean(axis=0)**2).sum() / (h**2).sum(axis=1).mean()",
    ],
    ("effective_robustness", "logit"): [
        "return np.log(a)",
        "return np.log10(a / (1 - a))",
        "return np.log2(a / (1 - a))",
        "return a / (1 - a)",
        "return np.log((1 - a) / a)",
        "return np.log(a) / np.log(1 - a)",
        "return 1 / (1 + np.exp(-a))",
    ],
    ("effective_robustness", "effective_robustness"): [
        "return shifted - (slope * imagenet + intercept)",
        "return logit(shifted) - (slope * logit(imagenet) + intercept)",
        "p = slope * logit(imagenet) + intercept\nreturn 1 / (1 + np.exp(-p)) - shifted",
        "p = slope * imagenet + intercept\nreturn shifted - 1 / (1 + np.exp(-p))",
        "p = slope * logit(imagenet) + intercept\nreturn shifted - 1 / (1 + np.exp(p))",
        "p = slope * logit(imagenet) + intercept\nreturn shifted - np.exp(p)",
        "p = slope * logit(imagenet) - intercept\nreturn shifted - 1 / (1 + np.exp(-p))",
        "p = slope * logit(imagenet)\nreturn shifted - 1 / (1 + np.exp(-p))",
        "p = slope * logit(shifted) + intercept\nreturn shifted - 1 / (1 + np.exp(-p))",
        "p = slope * logit(imagenet) + intercept\nreturn imagenet - 1 / (1 + np.exp(-p))",
        "p = slope * logit(imagenet) + intercept\nreturn 100 * (shifted - 1 / (1 + np.exp(-p)))",
    ],
    ("effective_robustness", "rank_correlation"): [
        "return np.corrcoef(a, b)[0, 1]",
        "return np.corrcoef(a.argsort(), b.argsort())[0, 1]",
        "return np.corrcoef(np.sort(a), np.sort(b))[0, 1]",
        "return np.corrcoef(a.argsort().argsort(), b)[0, 1]",
        "return (a.argsort() == b.argsort()).mean()",
        "return np.corrcoef(a.argsort().argsort(), b.argsort().argsort())",
        "return abs(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])",
    ],
    ("privileged_directions", "importance"): [
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn w / w.sum() * (u @ v.T).mean(axis=0)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\n"
        "return w / w.sum() * np.abs(h @ v.T).mean(axis=0)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn w**2 / (w**2).sum() * np.abs(u @ v.T).mean(axis=0)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn w * np.abs(u @ v.T).mean(axis=0)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn w / w.sum() * np.abs((u @ v.T).mean(axis=0))",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=0)\n"
        "return w / w.sum() * np.abs(u @ v.T).mean(axis=0)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn w / w.sum() + np.abs(u @ v.T).mean(axis=0)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn w / w.sum() * ((u @ v.T)**2).mean(axis=0)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn w / w.sum() * np.abs(u @ v).mean(axis=1)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn w / w.max() * np.abs(u @ v.T).mean(axis=0)",
        "_, w, v = np.linalg.svd(head - head.mean(axis=0), full_matrices=False)\nu = h / "
        "np.linalg.norm(h, axis=1, keepdims=True)\n"
        "return w / w.sum() * np.abs(u @ v.T).mean(axis=0)",
        "_, w, v = np.linalg.svd(head, full_matrices=False)\nu = h / np.linalg.norm(h, axis=1, "
        "keepdims=True)\nreturn (w / w.sum() * np.abs(u @ v.T).mean(axis=0)).max()",
    ],
    ("privileged_directions", "alike"): [
        "return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))",
        "return abs(a @ b)",
        "return abs(a @ b) / np.linalg.norm(a)",
        "return abs(a @ b) / np.linalg.norm(b)",
        "return abs(a @ b) / (np.linalg.norm(a) + np.linalg.norm(b))",
        "return (a @ b)**2 / ((a @ a) * (b @ b))",
        "return abs(a @ b) / ((a @ a) * (b @ b))",
    ],
    ("privileged_directions", "less_common"): [
        "return head - head.mean(axis=1, keepdims=True)",
        "return head - head.mean()",
        "return head - head[0]",
        "return head / head.mean(axis=0)",
        "return head + head.mean(axis=0)",
        "return head.mean(axis=0)",
    ],
    ("pruning", "accuracy"): [
        "return ((h @ head.T).argmax(axis=0) == classes).mean()",
        "return ((h @ head.T).argmax(axis=1) == classes).sum()",
        "return ((h @ head.T).argmin(axis=1) == classes).mean()",
        "return (np.abs(h @ head.T).argmax(axis=1) == classes).mean()",
        "return ((h @ head.T).max(axis=1) == classes).mean()",
        "return ((h @ head.T).argmax() == classes).mean()",
        "return ((h @ head.T).argmax(axis=1) != classes).mean()",
    ],
    ("pruning", "pruning_curve"): [
        "s, c = np.zeros((len(h), len(head))), []\nfor i in order:\n"
        "    s = np.outer(h @ directions[i], weights[i] * left[:, i])\n"
        "    c.append((s.argmax(axis=1) == classes).mean())\nreturn np.array(c)",
        "s, c = np.zeros((len(h), len(head))), []\nfor i in order:\n"
        "    s += np.outer(h @ directions[i], left[:, i])\n"
        "    c.append((s.argmax(axis=1) == classes).mean())\nreturn np.array(c)",
        "s, c = np.zeros((len(h), len(head))), []\nfor i in range(len(order)):\n"
        "    s += np.outer(h @ directions[i], weights[i] * left[:, i])\n"
        "    c.append((s.argmax(axis=1) == classes).mean())\nreturn np.array(c)",
        "s, c = np.zeros((len(h), len(head))), []\nfor i in order:\n"
        "    c.append((s.argmax(axis=1) == classes).mean())\n"
        "    s += np.outer(h @ directions[i], weights[i] * left[:, i])\nreturn np.array(c)",
        "s, c = np.zeros((len(h), len(head))), []\nfor i in order:\n"
        "    s -= np.outer(h @ directions[i], weights[i] * left[:, i])\n"
        "    c.append((s.argmax(axis=1) == classes).mean())\nreturn np.array(c)",
        "s, c = h @ head.T, []\nfor i in order:\n"
        "    s = s - np.outer(h @ directions[i], weights[i] * left[:, i])\n"
        "    c.append((s.argmax(axis=1) == classes).mean())\nreturn np.array(c)",
        "s = np.zeros((len(h), len(head)))\nfor i in order:\n"
        "    s += np.outer(h @ directions[i], weights[i] * left[:, i])\n"
        "return (s.argmax(axis=1) == classes).mean()",
        "s, c = np.zeros((len(h), len(head))), []\nfor i in order:\n"
        "    s += np.outer(h @ directions[i], weights[i] * left[:, i])\n"
        "    c.append((s.argmax(axis=1) == classes).sum())\nreturn np.array(c)",
        "s, c = np.zeros((len(h), len(head))), []\nfor i in order:\n"
        "    s += np.outer(h @ directions[:, i], weights[i] * left[:, i])\n"
        "    c.append((s.argmax(axis=1) == classes).mean())\nreturn np.array(c)[::-1]",
    ],
    ("pruning", "without"): [
        "return head - np.outer(left[:, number], directions[number])",
        "return weights[number] * np.outer(left[:, number], directions[number])",
        "return head + weights[number] * np.outer(left[:, number], directions[number])",
        "return head - weights[0] * np.outer(left[:, 0], directions[0])",
        "return np.delete(head, number, axis=0)",
        "return head - weights[number] * np.outer(left[:, number], directions[:, number])",
        "return head - head[number]",
    ],
    ("concepts", "average_precision"): [
        "hits = positive[np.argsort(scores, axis=0)]\nprecision = hits.cumsum(axis=0) / "
        "np.arange(1, len(hits) + 1)[:, None]\n"
        "return (precision * hits).sum(axis=0) / positive.sum()",
        "hits = positive[np.argsort(-scores, axis=0)]\nprecision = hits.cumsum(axis=0) / "
        "np.arange(1, len(hits) + 1)[:, None]\nreturn precision.mean(axis=0)",
        "hits = positive[np.argsort(-scores, axis=0)]\nprecision = hits.cumsum(axis=0) / "
        "np.arange(len(hits))[:, None]\nreturn (precision * hits).sum(axis=0) / positive.sum()",
        "hits = positive[np.argsort(-scores, axis=0)]\nprecision = hits.cumsum(axis=0) / "
        "np.arange(1, len(hits) + 1)[:, None]\nreturn (precision * hits).sum(axis=0) / len(hits)",
        "hits = positive[np.argsort(-scores, axis=1)]\nprecision = hits.cumsum(axis=0) / "
        "np.arange(1, len(hits) + 1)[:, None]\n"
        "return (precision * hits).sum(axis=0) / positive.sum()",
        "hits = positive[np.argsort(-np.abs(scores), axis=0)]\nprecision = hits.cumsum(axis=0) / "
        "np.arange(1, len(hits) + 1)[:, None]\n"
        "return (precision * hits).sum(axis=0) / positive.sum()",
        "hits = positive[np.argsort(-scores, axis=0)]\nreturn hits.mean(axis=0)",
        "hits = positive[np.argsort(-scores, axis=0)]\nreturn hits[: positive.sum()].mean(axis=0)",
        "hits = positive[np.argsort(-scores, axis=0)]\nprecision = hits.cumsum(axis=0) / "
        "np.arange(1, len(hits) + 1)[:, None]\nreturn precision.max(axis=0)",
        "hits = positive[np.argsort(-scores, axis=0)]\nprecision = hits.cumsum(axis=0) / "
        "np.arange(1, len(hits) + 1)[:, None]\nreturn (precision * hits).sum() / positive.sum()",
    ],
    ("concepts", "by_chance"): [
        "p = np.arange(1, n + 1) / (places + 1)\nreturn (p.mean(axis=1) > 0.9 + 1e-12).mean()",
        "p = np.arange(1, n + 1) / (places + 1)\nreturn (p.mean(axis=1) >= 0.9 - 1e-12).sum()",
        "p = np.arange(1, n + 1) / (places + 1)\nreturn (p >= 0.9 - 1e-12).mean()",
        "p = np.arange(n) / (places + 1)\nreturn (p.mean(axis=1) >= 0.9 - 1e-12).mean()",
        "p = np.arange(1, n + 1) / (places + 2)\nreturn (p.mean(axis=1) >= 0.9 - 1e-12).mean()",
        "p = np.arange(1, n + 1) / (places + 1)\nreturn p.mean()",
        "p = np.arange(1, n + 1) / (places + 1)\nreturn (p.min(axis=1) >= 0.9).mean()",
        "p = np.arange(1, n + 1) / (places + 1)\nreturn (p.mean(axis=1) < 0.9).mean()",
    ],
    ("concepts", "at_least_one"): [
        "return 1 - probability**count",
        "return probability**count",
        "return probability * count",
        "return (1 - probability)**count",
        "return min(1, probability * count)",
        "return 1 - (1 - probability) * count",
    ],
    ("unread", "shares"): [
        "_, s, v = np.linalg.svd(texts)\nx = np.zeros(texts.shape[1])\n"
        "x[: len(s)] = s**2 / (s**2).sum()\nreturn v, x",
        "_, s, v = np.linalg.svd(texts - texts.mean(axis=0))\nx = np.zeros(texts.shape[1])\n"
        "x[: len(s)] = s / s.sum()\nreturn v, x",
        "_, s, v = np.linalg.svd(texts - texts.mean(axis=1, keepdims=True))\n"
        "x = np.zeros(texts.shape[1])\nx[: len(s)] = s**2 / (s**2).sum()\nreturn v, x",
        "_, s, v = np.linalg.svd(texts - texts.mean(axis=0))\nx = np.zeros(texts.shape[1])\n"
        "x[: len(s)] = s**2\nreturn v, x",
        "_, s, v = np.linalg.svd(texts - texts.mean(axis=0))\nx = np.zeros(texts.shape[1])\n"
        "x[: len(s)] = s**2 / (s**2).max()\nreturn v, x",
        "u, s, v = np.linalg.svd(texts - texts.mean(axis=0))\nx = np.zeros(texts.shape[1])\n"
        "x[: len(s)] = s**2 / (s**2).sum()\nreturn u, x",
        "_, s, v = np.linalg.svd(texts - texts.mean())\nx = np.zeros(texts.shape[1])\n"
        "x[: len(s)] = s**2 / (s**2).sum()\nreturn v, x",
    ],
    ("unread", "least_varying"): [
        "v, x = shares(texts)\nreturn v[np.cumsum(x) <= share]",
        "v, x = shares(texts)\nreturn v[::-1][x[::-1] <= share / 2]",
        "v, x = shares(texts)\nreturn v[np.cumsum(x[::-1])[::-1] <= share]",
        "v, x = shares(texts)\nreturn v[::-1][np.cumsum(x[::-1]) > share]",
        "v, x = shares(texts)\nreturn v[::-1][np.cumsum(x[::-1]) <= 1 - share]",
        "v, x = shares(texts)\nreturn v[-1:]",
        "v, x = shares(texts)\nreturn v.T[::-1][np.cumsum(x[::-1]) <= share][:1]",
    ],
    ("unread", "energy_along"): [
        "return np.abs(h @ directions.T).sum() / np.abs(h).sum()",
        "return (h @ directions.T).sum()**2 / (h**2).sum() + 1e-3",
        "return ((h @ directions.T)**2).sum(axis=1).mean() / (h**2).sum()",
        "return ((h @ directions.T)**2).mean() / (h**2).mean()",
        "return ((h @ directions.T)**2).sum()",
        "return 1 - ((h @ directions.T)**2).sum() / (h**2).sum()",
        "return np.linalg.norm(h @ directions.T) / np.linalg.norm(h)",
    ],
    ("unread", "dropped"): [
        "return h @ directions.T @ directions",
        "return h + h @ directions.T @ directions",
        "return h - directions.sum(axis=0)",
        "return h - (h @ directions.T).sum()",
        "return h @ directions.T",
        "return h - np.abs(h @ directions.T) @ directions",
    ],
    ("bits", "crest"): [
        "return h.max(axis=1) / np.sqrt((h**2).mean(axis=1))",
        "return np.abs(h).max(axis=0) / np.sqrt((h**2).mean(axis=0))",
        "return np.abs(h).max(axis=1) / np.sqrt((h**2).sum(axis=1))",
        "return np.abs(h).max(axis=1) / (h**2).mean(axis=1)",
        "return np.abs(h).max(axis=1) / np.abs(h).mean(axis=1)",
        "return np.abs(h).max() / np.sqrt((h**2).mean())",
        "return np.abs(h).max(axis=1) / h.std(axis=1)",
    ],
    ("bits", "quantised"): [
        "step = np.abs(h).max() / (2**(bits - 1) - 1)\nreturn step * np.round(h / step)",
        "step = np.abs(h).max(axis=1, keepdims=True) / 2**bits\nreturn step * np.round(h / step)",
        "step = np.abs(h).max(axis=1, keepdims=True) / (2**(bits - 1) - 1)\n"
        "return np.round(h / step)",
        "step = np.abs(h).max(axis=1, keepdims=True) / (2**(bits - 1) - 1)\n"
        "return step * np.floor(h / step)",
        "step = h.max(axis=1, keepdims=True) / (2**(bits - 1) - 1)\n"
        "return step * np.round(h / step)",
        "step = np.abs(h).max(axis=1, keepdims=True) / 2**(bits - 1)\n"
        "return step * np.round(h / step)",
    ],
}
WRONG = [(*place, code) for place, codes in WRONG_BODIES.items() for code in codes]
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
