from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q2"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Rate above one, 'Rows that cover space evenly': https://aetutor.github.io/aetutor/book/minimizers/rate-above-one.html")
def test_q2_public_by_hand(potential, least_potential):
    import numpy as np
    from aetutor.assignments import checks
    checks.close(potential(np.eye(2)), 2, 'potential of two orthonormal rows')
    equal = np.array([[0.6, 0.8], [0.6, 0.8]])
    checks.close(potential(equal), 4, 'potential of two equal rows')
    checks.close(least_potential(3, 2), 4.5, 'least_potential(3, 2)')
