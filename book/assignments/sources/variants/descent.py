"""Submissions of the assignment descent that grading is tried on."""

ALTERNATIVE = {
    # Loops over pairs of rows.
    "q1": """
def velocity(B, slope):
    n, d = B.shape
    moves = [[0.0] * d for _ in range(n)]
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            overlap = float(B[i] @ B[j])
            push = float(slope(np.array([overlap]))[0])
            for k in range(d):
                moves[i][k] -= push * (B[j, k] - overlap * B[i, k])
    return np.array(moves)


def flow_step(B, slope, h):
    moved = B + h * velocity(B, slope)
    return np.array([row / np.sqrt((row**2).sum()) for row in moved])
""",
    # Automatic differentiation of the risk with the decoder held still, in torch.
    "q3": """
import torch


def descend(B, etas):
    B = torch.tensor(np.asarray(B, float))
    n, c1 = len(B), np.sqrt(2 / np.pi)
    other = ~torch.eye(n, dtype=torch.bool)
    for eta in np.asarray(etas):
        rows = B.clone().requires_grad_()
        G = rows @ rows.T
        F = torch.eye(n).double()
        F[other] = 2 / torch.pi * torch.arcsin(G[other])
        A = c1 * torch.linalg.solve(F.detach(), B).T
        value = -2 * c1 * torch.trace(rows @ A) + torch.trace(A.T @ A @ F)
        (slope,) = torch.autograd.grad(value, rows)
        slope = slope - (slope * B).sum(dim=1, keepdim=True) * B
        B = torch.nn.functional.normalize(B - float(eta) * slope, dim=1)
    return B
""",
    # One eigenvalue after the other, in plain Python.
    "q4": """
def flatten(lam, eta, g):
    total = sum(lam)
    fitness = [2 * g / (value + g) ** 2 for value in lam]
    mean = sum(value * w for value, w in zip(lam, fitness)) / total
    grown = [value * (1 + eta * (w - mean)) ** 2 for value, w in zip(lam, fitness)]
    return [value * total / sum(grown) for value in grown]


def curve(lam, d, g, etas):
    lam, risks = list(lam), []
    for eta in [None, *etas]:
        if eta is not None:
            lam = flatten(lam, eta, g)
        risks.append(1 - sum(value / (value + g) for value in lam) / d)
    return risks
""",
    # A greedy driver: tries many sizes before each step and takes that with the least risk after it.
    "q5": """
def race(B, A, t):
    X = A.T * np.sqrt(np.pi / 2)
    G = B @ B.T
    np.fill_diagonal(G, 0)
    S = X @ X.T * (2 / np.pi) / np.sqrt(1 - G**2)
    np.fill_diagonal(S, 0)
    gradient = 4 / np.pi * (S @ B - X)
    gradient -= (gradient * B).sum(axis=1, keepdims=True) * B

    def after(eta):
        rows = B - eta * gradient
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        F = 2 / np.pi * np.arcsin(np.clip(rows @ rows.T, -1, 1))
        return -np.sum(rows * np.linalg.solve(F, rows))

    return min(np.linspace(0.5, 2, 31), key=after)
""",
}

_LOOSE_CURVE = """


def curve(lam, d, g, etas):
    risks = [1 - (lam / (lam + g)).sum() / d]
    for eta in etas:
        w = 2 * g / (lam + g) ** 2
        grown = lam * (1 + eta * (w - (lam * w).sum() / lam.sum())) ** 2
        lam = grown * lam.sum() / grown.sum()
        risks.append(1 - (lam / (lam + g)).sum() / d)
    return np.array(risks)
"""

_DESCEND = """
def descend(B, etas):
    for eta in etas:
        G = B @ B.T
        np.fill_diagonal(G, 0)
        F = 2 / np.pi * np.arcsin(G) + np.eye(len(B))
        X = np.linalg.solve(F, B)
        S = X @ X.T * (2 / np.pi) / np.sqrt(1 - G**2)
        np.fill_diagonal(S, 0)
        gradient = 4 / np.pi * (S @ B - X)
        gradient -= (gradient * B).sum(axis=1, keepdims=True) * B
        B = B - eta * gradient
        B = B / np.linalg.norm(B, axis=1, keepdims=True)
    return B
"""

_FLOW_STEP = """


def flow_step(B, slope, h):
    moved = B + h * velocity(B, slope)
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)
"""

WRONG = {
    "hard-coded public answers": (
        {
            "q1": """
def velocity(B, slope):
    return np.array([[0, -0.96], [-0.768, 0.576]])


def flow_step(B, slope, h):
    moved = np.array([[1.0, -0.48], [0.216, 1.088]])
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)
""",
            "q3": """
def descend(B, etas):
    turn = np.arctan(0.5 * 4 / np.pi * (3 / 8 - 9 / (16 * np.pi * 3**0.5)) * 3**0.5 / 2)
    angles = np.array([-turn, np.pi / 3 + turn])
    return np.column_stack([np.cos(angles), np.sin(angles)])
""",
            "q4": """
def flatten(lam, eta, g):
    grown = np.array([0.5 * (1 + 8 / 9 - 104 / 225) ** 2, 1.5 * (1 + 8 / 25 - 104 / 225) ** 2])
    return grown * 2 / grown.sum()


def curve(lam, d, g, etas):
    return np.array([8 / 15 if d == 2 else 23 / 30])
""",
            "q5": """
def race(B, A, t):
    return 0.5
""",
        },
        {"q1": 1, "q3": 1, "q4": 1, "q5": 0.5},
    ),
    "the diagonal kept: infinity times zero": (
        {
            "q1": """
def velocity(B, slope):
    G = B @ B.T
    push = slope(G)
    return (push * G).sum(axis=1, keepdims=True) * B - push @ B
"""
            + _FLOW_STEP,
        },
        {"q1": 2},
    ),
    "the whole slope of the energy for a velocity": (
        {
            "q1": """
def velocity(B, slope):
    G = np.clip(B @ B.T, -1, 1)
    push = slope(G - np.diag(np.diag(G)))
    return 2 * ((push * G).sum(axis=1, keepdims=True) * B - push @ B)
"""
            + _FLOW_STEP,
        },
        {"q1": 0},
    ),
    "pushes not made orthogonal to the row": (
        {
            "q1": """
def velocity(B, slope):
    G = np.clip(B @ B.T, -1, 1)
    return -slope(G - np.diag(np.diag(G))) @ B
"""
            + _FLOW_STEP,
        },
        # To first order the division by the norms does the projection by itself.
        {"q1": 1},
    ),
    "rows not put back on the spheres": (
        {
            "q1": """
def velocity(B, slope):
    G = np.clip(B @ B.T, -1, 1)
    push = slope(G - np.diag(np.diag(G)))
    return (push * G).sum(axis=1, keepdims=True) * B - push @ B


def flow_step(B, slope, h):
    return B + h * velocity(B, slope)
""",
        },
        {"q1": 1.5},
    ),
    "uphill": (
        {"q3": _DESCEND.replace("B - eta * gradient", "B + eta * gradient")},
        {"q3": 0},
    ),
    "the diagonal of S kept: infinite": (
        {
            "q3": """
def descend(B, etas):
    for eta in etas:
        G = np.clip(B @ B.T, -1, 1)
        np.fill_diagonal(G, 1)
        X = np.linalg.solve(2 / np.pi * np.arcsin(G), B)
        S = X @ X.T * (2 / np.pi) / np.sqrt(1 - G**2)
        gradient = 4 / np.pi * (S @ B - X)
        gradient -= (gradient * B).sum(axis=1, keepdims=True) * B
        B = B - eta * gradient
        B = B / np.linalg.norm(B, axis=1, keepdims=True)
    return B
""",
        },
        {"q3": 0},
    ),
    "half the gradient: a missing factor 2": (
        # It still arrives, since a step of half the size is good enough for that.
        {"q3": _DESCEND.replace("4 / np.pi", "2 / np.pi")},
        {"q3": 1},
    ),
    "single precision": (
        {"q3": _DESCEND.replace("    for eta", "    B = np.asarray(B, np.float32)\n    for eta")},
        # By hand it is right to seven digits, and it descends; but a tiny step drowns in rounding.
        {"q3": 2},
    ),
    "stops after the first step": (
        {"q3": _DESCEND.replace("in etas:", "in etas[:1]:")},
        {"q3": 1},
    ),
    "mean fitness without the weights": (
        {
            "q4": """
def flatten(lam, eta, g):
    w = 2 * g / (lam + g) ** 2
    grown = lam * (1 + eta * (w - w.mean())) ** 2
    return grown * lam.sum() / grown.sum()
"""
            + _LOOSE_CURVE,
        },
        {"q4": 1.5},
    ),
    "factor not squared": (
        {
            "q4": """
def flatten(lam, eta, g):
    w = 2 * g / (lam + g) ** 2
    grown = lam * (1 + eta * (w - (lam * w).sum() / lam.sum()))
    return grown * lam.sum() / grown.sum()
"""
            + _LOOSE_CURVE,
        },
        {"q4": 1.5},
    ),
    "rescaled to mean one": (
        {
            "q4": """
def flatten(lam, eta, g):
    w = 2 * g / (lam + g) ** 2
    grown = lam * (1 + eta * (w - (lam * w).sum() / lam.sum())) ** 2
    return grown / grown.mean()


def curve(lam, d, g, etas):
    risks = [1 - (lam / (lam + g)).sum() / d]
    for eta in etas:
        lam = flatten(lam, eta, g)
        risks.append(1 - (lam / (lam + g)).sum() / d)
    return np.array(risks)
""",
        },
        {"q4": 1},
    ),
    "risk divided by the number of eigenvalues": (
        {
            "q4": """
def flatten(lam, eta, g):
    w = 2 * g / (lam + g) ** 2
    grown = lam * (1 + eta * (w - (lam * w).sum() / lam.sum())) ** 2
    return grown * lam.sum() / grown.sum()


def curve(lam, d, g, etas):
    risks = [1 - (lam / (lam + g)).mean()]
    for eta in etas:
        lam = flatten(lam, eta, g)
        risks.append(1 - (lam / (lam + g)).mean())
    return np.array(risks)
""",
        },
        {"q4": 1.5},
    ),
    "curve without its last step": (
        {
            "q4": """
def flatten(lam, eta, g):
    w = 2 * g / (lam + g) ** 2
    grown = lam * (1 + eta * (w - (lam * w).sum() / lam.sum())) ** 2
    return grown * lam.sum() / grown.sum()


def curve(lam, d, g, etas):
    risks = []
    for eta in etas:
        risks.append(1 - (lam / (lam + g)).sum() / d)
        lam = flatten(lam, eta, g)
    return np.array(risks)
""",
        },
        {"q4": 1.5},
    ),
    "the safe step, twice": (
        {"q5": "\ndef race(B, A, t):\n    return 0.727\n"},
        {"q5": 1},
    ),
    "a timid step": (
        {"q5": "\ndef race(B, A, t):\n    return 0.1\n"},
        {"q5": 0},
    ),
    "braking before the last step": (
        {"q5": "\ndef race(B, A, t):\n    return 0.9 / (1 + 2 * t)\n"},
        {"q5": 0.5},
    ),
}
