from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q4"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Rate above one, 'Frames that reach the limit': https://aetutor.github.io/aetutor/book/minimizers/rate-above-one.html")
def test_q4_public_by_hand(spectrum_risk, bound):
    import numpy as np
    from aetutor.assignments import checks
    even, uneven = (np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    checks.close(spectrum_risk(even, 1.0), 1 / 2, 'spectrum_risk([1, 1], 1)')
    checks.close(spectrum_risk(uneven, 1.0), 2 / 3, 'spectrum_risk([2, 0], 1)')
    checks.close(bound(1.0, 1.0), 1 / 2, 'bound(1, 1)')
    checks.close(bound(3.0, 1.0), 1 / 4, 'bound(3, 1)')
