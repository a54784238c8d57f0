"""Submissions of the assignment minimisers that grading is tried on."""

ALTERNATIVE = {
    "q1": '''
import torch


def minimiser(n, d, c1, second_moment, seed):
    """Gram and Schmidt, in torch."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n):
        b = torch.randn(d, generator=generator, dtype=torch.float64)
        for _ in range(2):
            for a in rows:
                b = b - (a @ b) * a
        rows.append(b / b.norm())
    B = torch.stack(rows)
    g = second_moment / c1**2 - 1
    return B.T / (c1 * (1 + g)), B
''',
    "q2": '''
def potential(B):
    """Two loops."""
    total = 0.0
    for a in B:
        for b in B:
            total += float(a @ b) ** 2
    return total


def least_potential(n, d):
    """Equal eigenvalues, as many as the rank allows."""
    s = np.zeros(d)
    s[: min(n, d)] = max(1, n / d)
    return (s**2).sum()
''',
    "q3": '''
import torch


def descend(B, steps, step_size):
    """The gradient by automatic differentiation."""
    B = torch.tensor(np.asarray(B), dtype=torch.float64)
    for _ in range(steps):
        B = B.clone().requires_grad_()
        (B @ B.T).square().sum().backward()
        B = (B - step_size * B.grad).detach()
        B = B / B.norm(dim=1, keepdim=True)
    return B
''',
    "q4": '''
def spectrum_risk(s, g):
    """What each direction leaves."""
    left = [g / (one + g) for one in s]
    return sum(left) / len(left)


def bound(rate, g):
    """The two branches."""
    if rate <= 1:
        return 1 - rate / (1 + g)
    return g / (rate + g)
''',
    "q6": '''
import torch


def best_risk(B):
    """The arcsine from the angle between rows; the diagonal by hand."""
    B = torch.as_tensor(np.asarray(B), dtype=torch.float64)
    n, d = B.shape
    F = torch.eye(n, dtype=torch.float64)
    for i in range(n):
        for j in range(i):
            angle = torch.arccos((B[i] @ B[j]).clamp(-1, 1))
            F[i, j] = F[j, i] = 1 - 2 * angle / np.pi
    c1 = (2 / np.pi) ** 0.5
    A = c1 * torch.linalg.solve(F, B).T
    return 1 - 2 * c1 * torch.trace(B @ A) / d + torch.trace(A @ F @ A.T) / d


def equal_lines(n):
    """Points of a regular n-gon, at half their angles."""
    corners = [np.exp(2j * np.pi * k / n) ** 0.5 for k in range(n)]
    return [[corner.real, corner.imag] for corner in corners]
''',
}

WRONG = {
    "decoder that forgets the second moment": (
        {
            "q1": """
def minimiser(n, d, c1, second_moment, seed):
    columns, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, n)))
    return c1 * columns, columns.T
"""
        },
        {"q1": 1},
    ),
    "the same encoder for every seed": (
        {
            "q1": """
def minimiser(n, d, c1, second_moment, seed):
    B = np.eye(n, d)
    return c1 / second_moment * B.T, B
"""
        },
        {"q1": 1.5},
    ),
    "random rows of unit norm, not orthogonal": (
        {
            "q1": """
def minimiser(n, d, c1, second_moment, seed):
    B = np.random.default_rng(seed).normal(size=(n, d))
    B /= np.linalg.norm(B, axis=1, keepdims=True)
    return c1 / second_moment * B.T, B
"""
        },
        {"q1": 0},
    ),
    "frame bound also where it is not reached": (
        {
            "q2": """
def potential(B):
    return np.sum((B @ B.T) ** 2)


def least_potential(n, d):
    return n**2 / d
"""
        },
        {"q2": 1},
    ),
    "norm of the Gram matrix, not squared": (
        {
            "q2": """
def potential(B):
    return np.linalg.norm(B @ B.T)


def least_potential(n, d):
    return n**2 / min(n, d)
"""
        },
        {"q2": 1},
    ),
    "gradient with half the factor": (
        {
            "q3": """
def descend(B, steps, step_size):
    for _ in range(steps):
        B = B - step_size * 2 * B @ B.T @ B
        B = B / np.linalg.norm(B, axis=1, keepdims=True)
    return B
"""
        },
        {"q3": 1},
    ),
    "uphill": (
        {
            "q3": """
def descend(B, steps, step_size):
    for _ in range(steps):
        B = B + step_size * 4 * B @ B.T @ B
        B = B / np.linalg.norm(B, axis=1, keepdims=True)
    return B
"""
        },
        {"q3": 0},
    ),
    "rows normalised only at the end": (
        {
            "q3": """
def descend(B, steps, step_size):
    for _ in range(steps):
        B = B - step_size * 4 * B @ B.T @ B
    return B / np.linalg.norm(B, axis=1, keepdims=True)
"""
        },
        {"q3": 1},
    ),
    "columns normalised in place of rows": (
        {
            "q3": """
def descend(B, steps, step_size):
    for _ in range(steps):
        B = B - step_size * 4 * B @ B.T @ B
        B = B / np.linalg.norm(B, axis=0, keepdims=True)
    return B
"""
        },
        {"q3": 0},
    ),
    "one branch of the bound for all rates": (
        {
            "q4": """
def spectrum_risk(s, g):
    return 1 - np.mean(s / (s + g))


def bound(rate, g):
    return 1 - rate / (rate + g)
"""
        },
        {"q4": 1},
    ),
    "zeros left out of the mean": (
        {
            "q4": """
def spectrum_risk(s, g):
    s = s[s > 1e-9]
    return 1 - np.mean(s / (s + g))


def bound(rate, g):
    return 1 - rate / (max(1, rate) + g)
"""
        },
        {"q4": 1},
    ),
    "lines spread over a full turn": (
        {
            "q6": """
def best_risk(B):
    F = 2 / np.pi * np.arcsin(np.clip(B @ B.T, -1, 1))
    return 1 - 2 / np.pi / B.shape[1] * np.trace(B.T @ np.linalg.solve(F, B))


def equal_lines(n):
    angles = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
"""
        },
        {"q6": 2.5},
    ),
    "dimension two everywhere": (
        {
            "q6": """
def best_risk(B):
    F = 2 / np.pi * np.arcsin(np.clip(B @ B.T, -1, 1))
    return 1 - 1 / np.pi * np.trace(B.T @ np.linalg.solve(F, B))


def equal_lines(n):
    angles = np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
"""
        },
        {"q6": 2.5},
    ),
    "best tied decoder in place of the best": (
        {
            "q6": """
def best_risk(B):
    n, d = B.shape
    G = B @ B.T
    F = 2 / np.pi * np.arcsin(np.clip(G, -1, 1))
    return 1 - 2 / np.pi * n**2 / (d * np.sum(G * F))


def equal_lines(n):
    angles = np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
"""
        },
        {"q6": 1.5},
    ),
    "hard-coded public answers": (
        {
            "q1": """
def minimiser(n, d, c1, second_moment, seed):
    B = np.eye(2, 3)
    return 0.7978845608 * B.T, B
""",
            "q2": """
def potential(B):
    return 2 if B[0, 0] == 1 else 4


def least_potential(n, d):
    return 4.5
""",
            "q3": """
def descend(B, steps, step_size):
    return B if steps == 0 else np.array([[0.8, -0.6], [0.0, 1.0]])
""",
            "q4": """
def spectrum_risk(s, g):
    return 1 / 2 if s[0] == 1 else 2 / 3


def bound(rate, g):
    return 1 / 2 if rate == 1 else 1 / 4
""",
            "q6": """
def best_risk(B):
    return 1 - 2 / np.pi if len(B) == 2 else 1 - 9 / (4 * np.pi)


def equal_lines(n):
    return np.array([[1, 0], [0.5, 3**0.5 / 2], [-0.5, 3**0.5 / 2]])
""",
        },
        {"q1": 0.5, "q2": 0.5, "q3": 1, "q4": 0.5, "q6": 1},
    ),
}
