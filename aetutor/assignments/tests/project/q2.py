from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q2"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Direction by direction: 4/(1 + 3) and 1/(1 + 1) are left, of a variance of 4 + 1. Chapter 13, 'A bound in every dimension': https://aetutor.github.io/aetutor/book/beyond-gaussian/water-filling.html")
def test_left_by_hand(left_over):
    import numpy as np
    from aetutor.assignments import checks
    got = left_over(np.array([2.0, 1.0]), np.array([1.5, 0.5]), 0.5)
    checks.close(got, 0.3, 'left_over([2, 1], [1.5, 0.5], 0.5)')
