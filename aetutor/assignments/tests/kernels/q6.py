from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q6"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="One bit per dimension and the sign: r = 1 and 1 − 2/π. Half a bit, four levels (2 bits each): r = 1/4. Part two, 'Rate at most one': https://aetutor.github.io/aetutor/book/minimizers/rate-at-most-one.html#the-bound")
def test_two_bills(distortion):
    import numpy as np
    from aetutor.assignments import checks
    checks.close(distortion(1.0, 2, np.pi / 2 - 1), 1 - 2 / np.pi, 'distortion(1, 2, π/2 − 1)')
    checks.close(distortion(0.5, 4, 0.0), 0.75, 'distortion(0.5, 4, 0)')
