"""Submissions of the assignment risk that grading is tried on."""

ALTERNATIVE = {  # other ways: entry by entry, torch, the eigenvectors of F, samples in chunks
    "q2": """
def population_risk(A, B, c1, f):
    d, n = A.shape
    linear = quadratic = 0.0
    for i in range(n):
        linear += float(A[:, i] @ B[i])
        for j in range(n):
            kernel = float(f(1.0)) if i == j else float(f(float(B[i] @ B[j])))
            quadratic += float(A[:, i] @ A[:, j]) * kernel
    return (d - 2 * c1 * linear + quadratic) / d
""",
    "q3": """
import torch


def gradients(A, B, c1, F, dF):
    A, B, F, dF = (torch.as_tensor(M, dtype=torch.float64) for M in (A, B, F, dF))
    d, n = A.shape
    A = A.clone().requires_grad_()
    risk = 1 - 2 * c1 / d * torch.trace(B @ A) + torch.trace(A.T @ A @ F) / d
    (in_A,) = torch.autograd.grad(risk, A)
    A = A.detach()
    in_B = torch.zeros_like(B)
    for i in range(n):
        slope = -c1 * A[:, i]
        for j in range(n):
            if j != i:
                slope = slope + (A[:, i] @ A[:, j]) * dF[i, j] * B[j]
        in_B[i] = 2 / d * (slope - (slope @ B[i]) * B[i])
    return in_A, in_B
""",
    "q4": """
import torch


def best_decoder(B, c1, F):
    B, F = torch.as_tensor(B), torch.as_tensor(F)
    value, vector = torch.linalg.eigh(F)
    keep = value > 1e-10 * value.max()
    value, vector = value[keep], vector[:, keep]
    A = c1 * (B.T @ vector) / value @ vector.T
    risk = 1 - 2 * c1 / B.shape[1] * torch.trace(B @ A) + torch.trace(A.T @ A @ F) / B.shape[1]
    return [A, risk]
""",
    "q5": """
import torch


def monte_carlo(A, B, sigma, count, seed):
    generator = torch.Generator().manual_seed(seed)
    d = len(A)
    total = squares = 0.0
    done = 0
    while done < count:
        chunk = min(512, count - done)
        x = torch.randn(chunk, d, generator=generator, dtype=torch.float64).numpy()
        e = ((x - sigma(x @ B.T) @ A.T) ** 2).sum(axis=1) / d
        total, squares, done = total + e.sum(), squares + (e**2).sum(), done + chunk
    mean = total / count
    return mean, ((squares / count - mean**2) / (count - 1)) ** 0.5
""",
}

WRONG = {
    "divided by n": (
        {
            "q2": """
def population_risk(A, B, c1, f):
    n = B.shape[0]
    F = f(B @ B.T)
    np.fill_diagonal(F, f(1.0))
    return 1 - 2 * c1 / n * np.trace(B @ A) + np.trace(A.T @ A @ F) / n
"""
        },
        {"q2": 0.5},
    ),
    "arcsine of more than 1": (
        {
            "q2": """
def population_risk(A, B, c1, f):
    d = B.shape[1]
    return 1 - 2 * c1 / d * np.trace(B @ A) + np.trace(A.T @ A @ f(B @ B.T)) / d
"""
        },
        {"q2": 2.5},
    ),
    "the sign, whatever is asked": (
        {
            "q2": """
def population_risk(A, B, c1, f):
    d = B.shape[1]
    F = 2 / np.pi * np.arcsin(np.clip(B @ B.T, -1, 1))
    np.fill_diagonal(F, 1.0)
    return 1 - 2 * np.sqrt(2 / np.pi) / d * np.trace(B @ A) + np.trace(A.T @ A @ F) / d
"""
        },
        {"q2": 2},
    ),
    "factor 2 missing in the gradient in A": (
        {
            "q3": """
def gradients(A, B, c1, F, dF):
    d = B.shape[1]
    in_A = (A @ F - 2 * c1 * B.T) / d
    slopes = dF.copy()
    np.fill_diagonal(slopes, 0.0)
    in_B = 2 / d * ((A.T @ A * slopes) @ B - c1 * A.T)
    in_B -= (in_B * B).sum(axis=1, keepdims=True) * B
    return in_A, in_B
"""
        },
        {"q3": 2},
    ),
    "each pair of rows counted once": (
        {
            "q3": """
def gradients(A, B, c1, F, dF):
    d = B.shape[1]
    in_A = 2 / d * (A @ F - c1 * B.T)
    slopes = dF.copy()
    np.fill_diagonal(slopes, 0.0)
    in_B = ((A.T @ A * slopes) @ B - 2 * c1 * A.T) / d
    in_B -= (in_B * B).sum(axis=1, keepdims=True) * B
    return in_A, in_B
"""
        },
        {"q3": 1},
    ),
    "the diagonal of dF kept": (
        {
            "q3": """
def gradients(A, B, c1, F, dF):
    d = B.shape[1]
    in_A = 2 / d * (A @ F - c1 * B.T)
    in_B = 2 / d * ((A.T @ A * dF) @ B - c1 * A.T)
    in_B -= (in_B * B).sum(axis=1, keepdims=True) * B
    return in_A, in_B
"""
        },
        {"q3": 2},
    ),
    "not tangent": (
        {
            "q3": """
def gradients(A, B, c1, F, dF):
    d = B.shape[1]
    in_A = 2 / d * (A @ F - c1 * B.T)
    slopes = dF.copy()
    np.fill_diagonal(slopes, 0.0)
    return in_A, 2 / d * ((A.T @ A * slopes) @ B - c1 * A.T)
"""
        },
        {"q3": 1},
    ),
    "rows taken for orthogonal": (
        {
            "q4": """
def best_decoder(B, c1, F):
    A = c1 * B.T / F[0, 0]
    return A, 1 - c1 / B.shape[1] * np.trace(B @ A)
"""
        },
        {"q4": 0.5},
    ),
    "an inverse that need not exist": (
        {
            "q4": """
def best_decoder(B, c1, F):
    if np.linalg.matrix_rank(F) < len(F):
        raise np.linalg.LinAlgError("Singular matrix")
    A = c1 * B.T @ np.linalg.inv(F)
    return A, 1 - c1 / B.shape[1] * np.trace(B @ A)
"""
        },
        {"q4": 2},
    ),
    "decoder transposed": (
        {
            "q4": """
def best_decoder(B, c1, F):
    A = c1 * np.linalg.pinv(F) @ B
    return A, 1 - c1 / B.shape[1] * np.trace(A @ B.T)
"""
        },
        {"q4": 0.5},
    ),
    "scatter of the samples, not of their mean": (
        {
            "q5": """
def monte_carlo(A, B, sigma, count, seed):
    x = np.random.default_rng(seed).normal(size=(count, B.shape[1]))
    errors = ((x - sigma(x @ B.T) @ A.T) ** 2).mean(axis=1)
    return errors.mean(), errors.std(ddof=1)
"""
        },
        {"q5": 1.5},
    ),
    "coordinates taken for independent": (
        {
            "q5": """
def monte_carlo(A, B, sigma, count, seed):
    x = np.random.default_rng(seed).normal(size=(count, B.shape[1]))
    errors = (x - sigma(x @ B.T) @ A.T) ** 2
    return errors.mean(), errors.std() / np.sqrt(errors.size)
"""
        },
        {"q5": 2},
    ),
    "seed ignored": (
        {
            "q5": """
def monte_carlo(A, B, sigma, count, seed):
    x = np.random.default_rng(0).normal(size=(count, B.shape[1]))
    errors = ((x - sigma(x @ B.T) @ A.T) ** 2).mean(axis=1)
    return errors.mean(), errors.std(ddof=1) / np.sqrt(count)
"""
        },
        {"q5": 2},
    ),
    "summed over the coordinates": (
        {
            "q5": """
def monte_carlo(A, B, sigma, count, seed):
    x = np.random.default_rng(seed).normal(size=(count, B.shape[1]))
    errors = ((x - sigma(x @ B.T) @ A.T) ** 2).sum(axis=1)
    return errors.mean(), errors.std(ddof=1) / np.sqrt(count)
"""
        },
        {"q5": 0},
    ),
    "hard-coded public answers": (
        {
            "q2": """
def population_risk(A, B, c1, f):
    return 1.8 if A.shape == (3, 2) else 1 - 2 * np.sqrt(2 / np.pi) + 7 / 6
""",
            "q3": """
def gradients(A, B, c1, F, dF):
    return np.array([[0.7], [-0.4]]), np.array([[0.0, 0.5], [-0.5, 0.0]])
""",
            "q4": """
def best_decoder(B, c1, F):
    return np.array([[0.6], [0.8]]), 0.75
""",
            "q5": """
def monte_carlo(A, B, sigma, count, seed):
    return 1.0, np.sqrt(2 / 9000)
""",
        },
        {"q2": 1, "q3": 1, "q4": 0.5, "q5": 0.5},
    ),
}
