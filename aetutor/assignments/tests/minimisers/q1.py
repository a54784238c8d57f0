from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q1"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Rate at most one, 'The bound': https://aetutor.github.io/aetutor/book/minimizers/rate-at-most-one.html")
def test_q1_public_two_rows_in_space(minimiser):
    import numpy as np
    from aetutor.assignments import checks
    pair = minimiser(2, 3, (2 / np.pi) ** 0.5, 1.0, 0)
    is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2
    checks.holds(is_pair, 'minimiser(2, 3, …): expected the two arrays A and B')
    A = checks.array(pair[0], 'A of minimiser(2, 3, …)', (3, 2))
    B = checks.array(pair[1], 'B of minimiser(2, 3, …)', (2, 3))
    checks.close(B @ B.T, np.eye(2), 'B Bᵀ for two rows in three dimensions')
    checks.close(A, 0.7978845608 * B.T, 'A for the sign (c₁ = 0.79788, f(1) = 1)')
