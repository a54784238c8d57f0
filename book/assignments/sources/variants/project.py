"""Submissions of the assignment project that grading is tried on."""

ALTERNATIVE = {
    # Bisection on the level.
    "q1": """
def allocate(D, n, g):
    keep = set(sorted(range(len(D)), key=lambda k: D[k], reverse=True)[:n])
    low, high = 0.0, (n + g) / max(D)
    for _ in range(200):
        mu = (low + high) / 2
        s = [max(mu * D[k] - g, 0.0) if k in keep else 0.0 for k in range(len(D))]
        if sum(s) > n:
            high = mu
        else:
            low = mu
    return s
""",
    "q2": """
def left_over(D, s, g):
    D, s = torch.as_tensor(D), torch.as_tensor(s)
    explained = (D**2 * s / (s + g)).sum()
    return 1 - explained / (D**2).sum()
""",
    # Singular values of the centred images, in torch, and other signs.
    "q3": """
def whiten(fit, new, rank):
    fit, new = torch.tensor(fit), torch.tensor(new)
    mean = fit.mean(dim=0)
    _, singular, directions = torch.linalg.svd(fit - mean, full_matrices=False)
    scales = singular[:rank] / len(fit) ** 0.5
    return -(new - mean) @ directions[:rank].T / scales
""",
    "q4": """
def scale_factor(z):
    s = [float(row @ row) ** 0.5 / len(row) ** 0.5 for row in z]
    return (sum(s) / len(s)) ** 2 / (sum(v**2 for v in s) / len(s))


def predicted(factor, rate, g):
    limit = 1 - rate / (1 + g) if rate <= 1 else g / (rate + g)
    return factor * limit + (1 - factor)
""",
}

WRONG = {
    "hard-coded public answers": (
        {
            "q1": """
def allocate(D, n, g):
    return [1.5, 0.5] if D[0] == 2 else [2.0, 0.0]
""",
            "q2": """
def left_over(D, s, g):
    return 0.3
""",
            "q3": """
def whiten(fit, new, rank):
    return [[4 / 2**0.5]]
""",
            "q4": """
def scale_factor(z):
    return 0.8


def predicted(factor, rate, g):
    return 1 - 0.8 * 2 / np.pi
""",
        },
        {"q1": 0.5, "q2": 0.5, "q3": 0.5, "q4": 0.5},
    ),
    "water: believes that scales come sorted": (
        {
            "q1": """
def allocate(D, n, g):
    top = D[:n]
    levels = (n + g * np.arange(1, len(top) + 1)) / np.cumsum(top)
    active = np.count_nonzero(levels * top > g)
    s = np.zeros(len(D))
    s[:active] = levels[active - 1] * top[:active] - g
    return s
""",
        },
        {"q1": 1.5},
    ),
    "water: gives the allocation in sorted order": (
        {
            "q1": """
def allocate(D, n, g):
    top = np.sort(D)[::-1][:n]
    levels = (n + g * np.arange(1, len(top) + 1)) / np.cumsum(top)
    active = np.count_nonzero(levels * top > g)
    s = np.zeros(len(D))
    s[:active] = levels[active - 1] * top[:active] - g
    return s
""",
        },
        {"q1": 1.5},
    ),
    "water: more directions than rows": (
        {
            "q1": """
def allocate(D, n, g):
    from scipy.optimize import brentq

    mu = brentq(lambda mu: np.maximum(mu * D - g, 0).sum() - n, 0, (n + g) / D.max())
    return np.maximum(mu * D - g, 0)
""",
        },
        {"q1": 1.5},
    ),
    "water: level from all directions, then cut at zero": (
        {
            "q1": """
def allocate(D, n, g):
    order = np.argsort(-D)[:n]
    s = np.zeros(len(D))
    s[order] = np.maximum((n + g * len(order)) / D[order].sum() * D[order] - g, 0)
    return s
""",
        },
        {"q1": 0.5},
    ),
    "water: Shannon's vessels, all of width one": (
        {
            "q1": """
def allocate(D, n, g):
    from scipy.optimize import brentq

    keep = np.zeros(len(D))
    keep[np.argsort(-D)[:n]] = 1
    poured = lambda level: keep * np.maximum(level - g / D**2, 0)
    return poured(brentq(lambda level: poured(level).sum() - n, 0, 1e6))
""",
        },
        {"q1": 0},
    ),
    "left over: per dimension, not divided by the variance": (
        {
            "q2": """
def left_over(D, s, g):
    return np.mean(D**2 / (1 + s / g))
""",
        },
        {"q2": 0},
    ),
    "left over: dry directions forgotten": (
        {
            "q2": """
def left_over(D, s, g):
    wet = s > 0
    return np.sum(D[wet] ** 2 / (1 + s[wet] / g)) / np.sum(D**2)
""",
        },
        {"q2": 1},
    ),
    "left over: the formula for the best allocation only": (
        {
            "q2": """
def left_over(D, s, g):
    wet = s > 0
    mu = (s.sum() + g * wet.sum()) / D[wet].sum()
    return (g / mu * D[wet].sum() + (D[~wet] ** 2).sum()) / (D**2).sum()
""",
        },
        {"q2": 1},
    ),
    "whitening: weakest directions, as eigh sorts them": (
        {
            "q3": """
def whiten(fit, new, rank):
    mean = fit.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(fit.T, bias=True))
    return (new - mean) @ directions[:, :rank] / np.sqrt(np.maximum(variances[:rank], 1e-12))
""",
        },
        {"q3": 0.5},
    ),
    "whitening: by variances, the root forgotten": (
        {
            "q3": """
def whiten(fit, new, rank):
    mean = fit.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(fit.T, bias=True))
    return (new - mean) @ directions[:, -rank:] / variances[-rank:]
""",
        },
        {"q3": 0},
    ),
    "whitening: new images centred by their own mean": (
        {
            "q3": """
def whiten(fit, new, rank):
    variances, directions = np.linalg.eigh(np.cov(fit.T, bias=True))
    return (new - new.mean(axis=0)) @ directions[:, -rank:] / np.sqrt(variances[-rank:])
""",
        },
        {"q3": 1},
    ),
    "whitening: divided by N − 1": (
        {
            "q3": """
def whiten(fit, new, rank):
    mean = fit.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(fit.T))
    return (new - mean) @ directions[:, -rank:] / np.sqrt(variances[-rank:])
""",
        },
        {"q3": 1.5},
    ),
    "whitening: not centred": (
        {
            "q3": """
def whiten(fit, new, rank):
    variances, directions = np.linalg.eigh(fit.T @ fit / len(fit))
    return new @ directions[:, -rank:] / np.sqrt(variances[-rank:])
""",
        },
        {"q3": 0},
    ),
    "factor: lengths of columns": (
        {
            "q4": """
def scale_factor(z):
    s = np.linalg.norm(z, axis=0)
    return np.mean(s) ** 2 / np.mean(s**2)


def predicted(factor, rate, g):
    return 1 - factor * rate / (max(1, rate) + g)
""",
        },
        {"q4": 0.5},
    ),
    "factor: upside down": (
        {
            "q4": """
def scale_factor(z):
    s = np.linalg.norm(z, axis=1)
    return np.mean(s**2) / np.mean(s) ** 2


def predicted(factor, rate, g):
    return 1 - factor * rate / (max(1, rate) + g)
""",
        },
        {"q4": 0.5},
    ),
    "prediction: one branch of the limit": (
        {
            "q4": """
def scale_factor(z):
    s = np.linalg.norm(z, axis=1)
    return np.mean(s) ** 2 / np.mean(s**2)


def predicted(factor, rate, g):
    return 1 - factor * rate / (1 + g)
""",
        },
        {"q4": 1},
    ),
    "prediction: the factor on the risk": (
        {
            "q4": """
def scale_factor(z):
    s = np.linalg.norm(z, axis=1)
    return np.mean(s) ** 2 / np.mean(s**2)


def predicted(factor, rate, g):
    return factor * (1 - rate / (max(1, rate) + g))
""",
        },
        {"q4": 0.5},
    ),
}
