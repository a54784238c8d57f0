"""Submissions of the assignment bits that grading is tried on."""

ALTERNATIVE = {
    # Loops and lists in place of arrays.
    "q1": """
def quantise(x, points):
    cuts = [(points[i] + points[i + 1]) / 2 for i in range(len(points) - 1)]
    flat = []
    for number in np.ravel(x):
        cell = sum(number > cut for cut in cuts)
        flat.append(float(points[cell]))
    return np.reshape(flat, np.shape(x)).tolist()


def distortion(x, x_hat):
    error = np.ravel(x) - np.ravel(x_hat)
    return float(error @ error / len(error))
""",
    # Minimised numerically.
    "q2": """
from scipy.optimize import minimize_scalar


def error_at(a, x):
    total = 0.0
    for number in x:
        total += (number - a) ** 2 if number >= 0 else (number + a) ** 2
    return total / len(x)


def best_level(x):
    return minimize_scalar(error_at, args=(x,)).x


def one_bit_distortion(x):
    return minimize_scalar(error_at, args=(x,)).fun
""",
    # Quadrature, quantiles to start from, and a fixed and generous number of turns.
    "q4": """
import math
from scipy.integrate import quad


def lloyd_step(points):
    moved = []
    for i in range(len(points)):
        s = -10.0 if i == 0 else (points[i - 1] + points[i]) / 2
        t = 10.0 if i == len(points) - 1 else (points[i] + points[i + 1]) / 2
        middle = [min(max(0.0, s), t)]
        mass = quad(lambda x: math.exp(-x * x / 2), s, t, points=middle)[0]
        moved.append(quad(lambda x: x * math.exp(-x * x / 2), s, t, points=middle)[0] / mass)
    return moved


def lloyd(k):
    points = [norm.ppf((i + 0.5) / k) for i in range(k)]
    for _ in range(150):
        points = lloyd_step(points)
    return points
""",
    # Quadrature, cell by cell, in torch and SciPy.
    "q5": """
import torch
from scipy.integrate import quad


def entropy_and_distortion(points):
    cuts = [-10.0]
    for left, right in zip(points[:-1], points[1:]):
        cuts.append(min(max((left + right) / 2, -10.0), 10.0))
    cuts.append(10.0)
    entropy = lost = 0.0
    for s, t, y in zip(cuts[:-1], cuts[1:], points):
        if s == t:
            continue
        p = quad(norm.pdf, s, t, points=[min(max(0.0, s), t)])[0]
        lost += quad(lambda x: (x - y) ** 2 * norm.pdf(x), s, t, points=[min(max(0.0, s), t)])[0]
        if p > 0:
            entropy -= p * np.log2(p)
    return torch.tensor([entropy, lost], dtype=torch.float64)
""",
    # Normal equations in torch.
    "q6": """
import torch


def bits_of(B, X):
    measured = torch.as_tensor(X) @ torch.as_tensor(B).T
    return 2.0 * (measured >= 0).double() - 1


def fit_decoder(B, X):
    Z = bits_of(B, X)
    return torch.linalg.solve(Z.T @ Z, Z.T @ torch.as_tensor(X)).T


def autoencoder_distortion(A, B, X):
    x_hat = torch.as_tensor(A) @ bits_of(B, X).T
    return (torch.as_tensor(X).T - x_hat).square().sum() / X.size
""",
}

WRONG = {
    "hard-coded public answers": (
        {
            "q1": """
def quantise(x, points):
    return np.array([-1.0, 0.0, 0.0, 4.0])


def distortion(x, x_hat):
    return 5.0
""",
            "q2": """
def best_level(x):
    return 2.0


def one_bit_distortion(x):
    return 1.0 if len(x) == 2 else 0.0
""",
            "q4": """
def lloyd_step(points):
    if points[1] == 1:
        return np.array([-0.797885, 0.797885])
    return np.array([-0.287600, 1.525135])


def lloyd(k):
    return np.array([-0.797885, 0.797885])
""",
            "q5": """
def entropy_and_distortion(points):
    return (0, 5) if len(points) == 1 else (1, 0.404231)
""",
            "q6": """
def fit_decoder(B, X):
    return np.array([[2.0, -1.0], [-2.0, 4.0]])


def autoencoder_distortion(A, B, X):
    return 2.5 if len(X) == 1 else 0.0
""",
        },
        {"q1": 0.5, "q2": 0.5, "q4": 0.5, "q5": 0.5, "q6": 0.5},
    ),
    "cells cut at the points, not halfway": (
        {
            "q1": """
def quantise(x, points):
    return points[np.clip(np.searchsorted(points, x, side="right") - 1, 0, None)]


def distortion(x, x_hat):
    return np.mean((x - x_hat) ** 2)
"""
        },
        {"q1": 0.5},
    ),
    "distortion per row, not per dimension": (
        {
            "q1": """
def quantise(x, points):
    return points[np.abs(x[..., None] - points).argmin(axis=-1)]


def distortion(x, x_hat):
    return np.sum((x - x_hat) ** 2) / len(x)
"""
        },
        {"q1": 1.5},
    ),
    "median for the level": (
        {
            "q2": """
def best_level(x):
    return np.median(np.abs(x))


def one_bit_distortion(x):
    return np.mean((x - best_level(x) * np.where(x < 0, -1, 1)) ** 2)
"""
        },
        {"q2": 0.5},
    ),
    "variance taken for one": (
        {
            "q2": """
def best_level(x):
    return np.mean(np.abs(x))


def one_bit_distortion(x):
    return 1 - np.mean(np.abs(x)) ** 2
"""
        },
        {"q2": 1},
    ),
    "ten turns are not enough": (
        {
            "q4": """
def lloyd_step(points):
    halfway = (points[:-1] + points[1:]) / 2
    edges = np.concatenate([[-np.inf], halfway, [np.inf]])
    return -np.diff(norm.pdf(edges)) / np.diff(norm.cdf(edges))


def lloyd(k):
    points = np.linspace(-2, 2, k)
    for _ in range(10):
        points = lloyd_step(points)
    return points
"""
        },
        {"q4": 1},
    ),
    "a sample in place of the exact means": (
        {
            "q4": """
sample = np.random.default_rng(0).normal(size=20_000)


def lloyd_step(points):
    cell = np.abs(sample[:, None] - points).argmin(axis=1)
    return np.array([sample[cell == i].mean() for i in range(len(points))])


def lloyd(k):
    points = np.linspace(-2, 2, k)
    for _ in range(100):
        points = lloyd_step(points)
    return points
"""
        },
        {"q4": 0},
    ),
    "points taken for the means of their cells": (
        {
            "q5": """
def entropy_and_distortion(points):
    halfway = (points[:-1] + points[1:]) / 2
    p = np.diff(norm.cdf(np.concatenate([[-np.inf], halfway, [np.inf]])))
    used = p[p > 0]
    return -np.sum(used * np.log2(used)), 1 - np.sum(points**2 * p)
"""
        },
        {"q5": 0.5},
    ),
    "rate is the logarithm of the number of points": (
        {
            "q5": """
def entropy_and_distortion(points):
    halfway = (points[:-1] + points[1:]) / 2
    edges = np.concatenate([[-np.inf], halfway, [np.inf]])
    p = np.diff(norm.cdf(edges))
    first = -np.diff(norm.pdf(edges))
    return np.log2(len(points)), 1 - 2 * np.sum(points * first) + np.sum(points**2 * p)
"""
        },
        {"q5": 1.5},
    ),
    "entropy of an empty cell is not a number": (
        {
            "q5": """
def entropy_and_distortion(points):
    halfway = (points[:-1] + points[1:]) / 2
    edges = np.concatenate([[-np.inf], halfway, [np.inf]])
    p = np.diff(norm.cdf(edges))
    first = -np.diff(norm.pdf(edges))
    return -np.sum(p * np.log2(p)), 1 - 2 * np.sum(points * first) + np.sum(points**2 * p)
"""
        },
        {"q5": 1.5},
    ),
    "the sign of zero is zero": (
        {
            "q6": """
def fit_decoder(B, X):
    return np.linalg.lstsq(np.sign(X @ B.T), X, rcond=None)[0].T


def autoencoder_distortion(A, B, X):
    return np.mean((X - np.sign(X @ B.T) @ A.T) ** 2)
"""
        },
        {"q6": 1},
    ),
    "decoder transposed": (
        {
            "q6": """
def fit_decoder(B, X):
    Z = np.where(X @ B.T < 0, -1.0, 1.0)
    return np.linalg.lstsq(Z, X, rcond=None)[0]


def autoencoder_distortion(A, B, X):
    Z = np.where(X @ B.T < 0, -1.0, 1.0)
    return np.mean((X - Z @ A.T) ** 2)
"""
        },
        {"q6": 0.5},
    ),
    "a decoder from the Gaussian formula for orthonormal rows": (
        {
            "q6": """
def fit_decoder(B, X):
    return np.sqrt(2 / np.pi) * B.T


def autoencoder_distortion(A, B, X):
    Z = np.where(X @ B.T < 0, -1.0, 1.0)
    return np.mean((X - Z @ A.T) ** 2)
"""
        },
        {"q6": 0.5},
    ),
    "error not divided by the dimension": (
        {
            "q6": """
def fit_decoder(B, X):
    Z = np.where(X @ B.T < 0, -1.0, 1.0)
    return np.linalg.lstsq(Z, X, rcond=None)[0].T


def autoencoder_distortion(A, B, X):
    Z = np.where(X @ B.T < 0, -1.0, 1.0)
    return np.mean(np.sum((X - Z @ A.T) ** 2, axis=1))
"""
        },
        {"q6": 1},
    ),
}
