from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q3"
points = None

@test_case(points=1, hidden=False, 
    failure_message="The potential is in Rate above one, 'Rows that cover space evenly': https://aetutor.github.io/aetutor/book/minimizers/rate-above-one.html")
def test_q3_public_one_step(descend):
    import numpy as np
    from aetutor.assignments import checks
    B = np.array([[1.0, 0.0], [0.6, 0.8]])
    checks.close(descend(B, 0, 0.125), B, 'descend(B, 0, 1/8): no step')
    moved = [[0.8, -0.6], [0, 1]]
    checks.close(descend(B, 1, 0.125), moved, 'descend(B, 1, 1/8): one step')
