from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q4"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Two eigenvalues, g = 1, η = 1: w is 8/9 and 8/25, the weighted mean of w is 0.46222. The rest fits on an envelope. Chapter 'The spectrum's own life', section 'Seen from far away': https://aetutor.github.io/aetutor/book/gradient-methods/spectrum.html#seen-from-far-away")
def test_two_eigenvalues_by_hand(flatten):
    import numpy as np
    from aetutor.assignments import checks
    first, second = (0.5 * (1 + 8 / 9 - 104 / 225) ** 2, 1.5 * (1 + 8 / 25 - 104 / 225) ** 2)
    expected = np.array([first, second]) * 2 / (first + second)
    checks.close(flatten(np.array([0.5, 1.5]), 1.0, 1.0), expected, 'flatten([0.5, 1.5], 1, 1)')

@test_case(points=0.5, hidden=False, 
    failure_message="Without steps there is one risk, that of the start: 1 − (1/3 + 3/5)/d. The sum is divided by d, not by the number of eigenvalues: directions without an eigenvalue are lost. See https://aetutor.github.io/aetutor/book/gradient-methods/spectrum.html#seen-from-far-away")
def test_risk_of_the_start(curve):
    import numpy as np
    from aetutor.assignments import checks
    lam = np.array([0.5, 1.5])
    checks.close(curve(lam, 2, 1.0, np.array([])), [8 / 15], 'curve([0.5, 1.5], 2, 1, [])')
    checks.close(curve(lam, 4, 1.0, np.array([])), [23 / 30], 'curve([0.5, 1.5], 4, 1, [])')
