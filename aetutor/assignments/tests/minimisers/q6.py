from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q6"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Rate above one, 'Three vectors at 120°': https://aetutor.github.io/aetutor/book/minimizers/rate-above-one.html; and The population risk, 'The best decoder': https://aetutor.github.io/aetutor/book/model/population-risk.html")
def test_q6_public_risk(best_risk):
    import numpy as np
    from aetutor.assignments import checks
    two = best_risk(np.eye(2))
    checks.close(two, 1 - 2 / np.pi, 'best_risk of two orthonormal rows')
    half = 3 ** 0.5 / 2
    B = np.array([[1, 0], [-0.5, half], [-0.5, -half]])
    three = best_risk(B)
    checks.close(three, 1 - 9 / (4 * np.pi), 'best_risk of three vectors at 120°')

@test_case(points=0.5, hidden=False, 
    failure_message="Rate above one, the first figure: https://aetutor.github.io/aetutor/book/minimizers/rate-above-one.html")
def test_q6_public_three_lines(equal_lines):
    import numpy as np
    from aetutor.assignments import checks
    B = checks.array(equal_lines(3), 'equal_lines(3)', (3, 2))
    expected = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    checks.close(np.abs(B @ B.T), expected, '|⟨b_i, b_j⟩| for equal_lines(3)')
