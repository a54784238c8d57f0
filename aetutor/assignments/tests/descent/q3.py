from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q3"
points = None

@test_case(points=1, hidden=False, 
    failure_message="Two rows at 60°: arcsin(1/2) = π/6, so F has 1/3 off the diagonal, and all can be done by hand. Chapter 'Projected gradient descent', section 'The algorithm': https://aetutor.github.io/aetutor/book/gradient-methods/projected-gradient-descent.html#the-algorithm")
def test_two_rows_at_60_degrees(descend):
    import numpy as np
    from aetutor.assignments import checks
    root = np.sqrt(3)
    push = 4 / np.pi * (3 / 8 - 9 / (16 * np.pi * root))
    turn = np.arctan(0.5 * push * root / 2)
    angles = np.array([-turn, np.pi / 3 + turn])
    expected = np.column_stack([np.cos(angles), np.sin(angles)])
    got = descend(np.array([[1.0, 0.0], [0.5, root / 2]]), [0.5])
    checks.close(got, expected, 'descend(B, [0.5]) for two rows at 60° (they open to 77.04°)')
