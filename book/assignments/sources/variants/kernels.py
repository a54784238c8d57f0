"""Submissions of the assignment kernels that grading is tried on."""

ALTERNATIVE = {
    "q1": '''
def coefficients(sigma, top):
    """A plain sum over a grid, and Hermite polynomials from SciPy."""
    from math import factorial, pi, sqrt

    from scipy.special import hermitenorm

    x = np.arange(-12, 12, 0.01) + 0.005
    values = sigma(x) * np.exp(-(x**2) / 2) / sqrt(2 * pi) * 0.01
    return [float(np.sum(values * hermitenorm(k)(x))) / sqrt(factorial(k)) for k in range(top + 1)]
''',
    "q2": '''
import torch


def pair_average(sigma, rho, seed):
    """Quadrature in two dimensions: nothing is random."""
    x, w = np.polynomial.hermite.hermgauss(60)
    total = 0.0
    for node, weight in zip(x, w):
        u = np.sqrt(2) * node
        v = rho * u + np.sqrt(2 * max(0.0, 1 - rho**2)) * x
        total += weight * np.sum(w * sigma(np.full(60, u)) * sigma(v))
    return total / np.pi


def kernel(c, rho):
    """Horner's scheme, in torch."""
    rho = torch.as_tensor(rho, dtype=torch.float64)
    value = torch.zeros_like(rho)
    for one in reversed(list(c)):
        value = value * rho + float(one) ** 2
    return value
''',
    "q4": '''
def similarity(s, t):
    """By counting the bits that differ."""
    differ = 0
    for one, other in zip(s, t):
        differ += bool(one != other)
    return float(np.cos(np.pi * differ / len(s)))
''',
    "q5": '''
def gain(t, v):
    """By a fine sum over the right half-line."""
    x = (np.arange(100_000) + 0.5) * 1e-4
    w = 2e-4 * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    sigma = np.where(x < t, v, 1.0)
    return np.sum(w * sigma**2) / np.sum(w * x * sigma) ** 2 - 1


def best_threshold(v):
    """The threshold lies halfway between the two values that the decoder reads: iterate."""
    from statistics import NormalDist

    normal, t = NormalDist(), 1.0
    for _ in range(200):
        c1 = 2 * (v * normal.pdf(0) + (1 - v) * normal.pdf(t))
        second_moment = v**2 * (2 * normal.cdf(t) - 1) + 2 * (1 - normal.cdf(t))
        t = (1 + v) / 2 * c1 / second_moment
    return t
''',
    "q6": '''
def distortion(bits, levels, gain):
    """Looked at plus given up."""
    from math import log

    looked_at = np.array(bits, float) * log(2) / log(levels)
    return looked_at * gain / (1 + gain) + (1 - looked_at)
''',
}

WRONG = {
    "polynomials not normalised": (
        {
            "q1": '''
def coefficients(sigma, top):
    """He_l instead of h_l."""
    x, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / np.sqrt(2 * np.pi)
    He = [np.ones_like(x), x]
    for k in range(1, top + 1):
        He.append(x * He[k] - k * He[k - 1])
    return np.array([np.sum(w * sigma(x) * He[k]) for k in range(top + 1)])
''',
        },
        {"q1": 0},
    ),
    "weights not divided by the root of 2 pi": (
        {
            "q1": '''
def coefficients(sigma, top):
    """The missing factor of the hint."""
    x, w = np.polynomial.hermite_e.hermegauss(80)
    h = [np.ones_like(x), x]
    for k in range(1, top + 1):
        h.append((x * h[k] - np.sqrt(k) * h[k - 1]) / np.sqrt(k + 1))
    return np.array([np.sum(w * sigma(x) * h[k]) for k in range(top + 1)])
''',
        },
        {"q1": 0},
    ),
    "too few nodes": (
        {
            "q1": '''
def coefficients(sigma, top):
    """Six nodes: exact for the examples."""
    x, w = np.polynomial.hermite_e.hermegauss(6)
    w = w / np.sqrt(2 * np.pi)
    h = [np.ones_like(x), x]
    for k in range(1, top + 1):
        h.append((x * h[k] - np.sqrt(k) * h[k - 1]) / np.sqrt(k + 1))
    return np.array([np.sum(w * sigma(x) * h[k]) for k in range(top + 1)])
''',
        },
        {"q1": 1},
    ),
    "only the polynomials that the chapter shows": (
        {
            "q1": '''
def coefficients(sigma, top):
    """No recurrence."""
    x, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / np.sqrt(2 * np.pi)
    h = [x**0, x, (x**2 - 1) / np.sqrt(2), (x**3 - 3 * x) / np.sqrt(6)]
    c = np.zeros(top + 1)
    for k in range(min(top, 3) + 1):
        c[k] = np.sum(w * sigma(x) * h[k])
    return c
''',
        },
        {"q1": 2},
    ),
    "one coefficient too few, and powers off by one": (
        {
            "q1": '''
def coefficients(sigma, top):
    """c_0 to c_(top - 1)."""
    x, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / np.sqrt(2 * np.pi)
    h = [np.ones_like(x), x]
    for k in range(1, top + 1):
        h.append((x * h[k] - np.sqrt(k) * h[k - 1]) / np.sqrt(k + 1))
    return np.array([np.sum(w * sigma(x) * h[k]) for k in range(top)])
''',
            "q2": '''
def pair_average(sigma, rho, seed):
    """Right."""
    g, z = np.random.default_rng(seed).standard_normal((2, 500_000))
    return np.mean(sigma(g) * sigma(rho * g + np.sqrt(1 - rho**2) * z))


def kernel(c, rho):
    """Powers begin at 1."""
    return sum(c[k] ** 2 * np.asarray(rho) ** (k + 1) for k in range(len(c)))
''',
        },
        {"q1": 0, "q2": 1.5},
    ),
    "g' does not have variance 1": (
        {
            "q2": '''
def pair_average(sigma, rho, seed):
    """The root is missing."""
    g, z = np.random.default_rng(seed).standard_normal((2, 500_000))
    return np.mean(sigma(g) * sigma(rho * g + (1 - rho**2) * z))


def kernel(c, rho):
    """Right."""
    return np.polynomial.polynomial.polyval(rho, np.asarray(c) ** 2)
''',
        },
        {"q2": 2},
    ),
    "odd degrees only, coefficients not squared": (
        {
            "q2": '''
def pair_average(sigma, rho, seed):
    """Right."""
    g, z = np.random.default_rng(seed).standard_normal((2, 500_000))
    return np.mean(sigma(g) * sigma(rho * g + np.sqrt(1 - rho**2) * z))


def kernel(c, rho):
    """c_l instead of c_l squared."""
    return sum(c[k] * rho**k for k in range(1, len(c), 2))
''',
        },
        {"q2": 1.5},
    ),
    "odd degrees only": (
        {
            "q2": '''
def pair_average(sigma, rho, seed):
    """Right."""
    g, z = np.random.default_rng(seed).standard_normal((2, 500_000))
    return np.mean(sigma(g) * sigma(rho * g + np.sqrt(1 - rho**2) * z))


def kernel(c, rho):
    """As in the chapter, where activations are odd."""
    return sum(c[k] ** 2 * rho**k for k in range(1, len(c), 2))
''',
        },
        {"q2": 2},
    ),
    "the average product itself": (
        {
            "q4": '''
def similarity(s, t):
    """The law is not inverted."""
    return np.mean(s * t)
''',
        },
        {"q4": 0},
    ),
    "the sum of products overflows": (
        {
            "q4": '''
def similarity(s, t):
    """An int8 dot product."""
    return np.sin(np.pi / 2 * (s @ t) / len(s))
''',
        },
        {"q4": 1.5},
    ),
    "one side of the Gaussian only": (
        {
            "q5": '''
from scipy.stats import norm


def gain(t, v):
    """Both factors of 2 are missing: c1 is squared, f(1) is not."""
    c1 = v * (norm.pdf(0) - norm.pdf(t)) + norm.pdf(t)
    return (v**2 * (norm.cdf(t) - 0.5) + norm.sf(t)) / c1**2 - 1


def best_threshold(v):
    """Still the right one."""
    ts = np.linspace(0, 3, 3001)
    return ts[np.argmin(gain(ts, v))]
''',
        },
        {"q5": 1.5},
    ),
    "weak answer not squared": (
        {
            "q5": '''
from scipy.stats import norm


def gain(t, v):
    """v instead of v squared in the second moment."""
    c1 = 2 * (v * (norm.pdf(0) - norm.pdf(t)) + norm.pdf(t))
    return 2 * (v * (norm.cdf(t) - 0.5) + norm.sf(t)) / c1**2 - 1


def best_threshold(v):
    """The least of that."""
    ts = np.linspace(0, 3, 3001)
    return ts[np.argmin(gain(ts, v))]
''',
        },
        {"q5": 1},
    ),
    "a threshold for three levels only": (
        {
            "q5": '''
from scipy.stats import norm


def gain(t, v):
    """Right."""
    c1 = 2 * (v * (norm.pdf(0) - norm.pdf(t)) + norm.pdf(t))
    return 2 * (v**2 * (norm.cdf(t) - 0.5) + norm.sf(t)) / c1**2 - 1


def best_threshold(v):
    """Whatever v is."""
    ts = np.linspace(0, 3, 3001)
    return ts[np.argmin(gain(ts, 0.0))]
''',
        },
        {"q5": 2},
    ),
    "natural logarithm": (
        {
            "q6": '''
def distortion(bits, levels, gain):
    """Nats."""
    return 1 - np.asarray(bits) / np.log(levels) / (1 + gain)
''',
        },
        {"q6": 0},
    ),
    "one budget at a time": (
        {
            "q6": '''
def distortion(bits, levels, gain):
    """Fails on arrays."""
    import math

    rate = min(1.0, float(bits) / math.log2(levels))
    return 1 - rate / (1 + gain)
''',
        },
        {"q6": 0.5},
    ),
    "hard-coded public answers": (
        {
            "q1": '''
def coefficients(sigma, top):
    """By heart."""
    return {2: [1, 0, 2**0.5], 3: [0, 3, 0, 6**0.5]}.get(top, [0.0] * (top + 1))
''',
            "q2": '''
def pair_average(sigma, rho, seed):
    """By heart."""
    return rho


def kernel(c, rho):
    """By heart."""
    return 5.25 if np.ndim(rho) == 0 else np.array([0.0, -15.0])
''',
            "q4": '''
def similarity(s, t):
    """By heart."""
    return 1.0 if (s == t).all() else 0.5
''',
            "q5": '''
def gain(t, v):
    """By heart."""
    return np.pi / 2 - 1 if t == 0 else 0.354873


def best_threshold(v):
    """By heart."""
    return 0.612
''',
            "q6": '''
def distortion(bits, levels, gain):
    """By heart."""
    return 0.75 if levels == 4 else 1 - 2 / np.pi
''',
        },
        {"q1": 1, "q2": 1, "q4": 0.5, "q5": 1, "q6": 0.5},
    ),
}
