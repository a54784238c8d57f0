from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q1"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Chapter 'Weights tied', section 'The flow': https://aetutor.github.io/aetutor/book/gradient-methods/weights-tied.html#the-flow. Here the slope is 2ρ and the two rows have inner product 0.6: do it by hand.")
def test_two_rows_by_hand(velocity):
    import numpy as np
    from aetutor.assignments import checks
    B = np.array([[1.0, 0.0], [0.6, 0.8]])
    got = velocity(B, checks.function('lambda q: 2 * q'))
    checks.close(got, [[0, -0.96], [-0.768, 0.576]], 'velocity(B, slope) for two rows')

@test_case(points=0.5, hidden=False, 
    failure_message="Move every row by h times its velocity, all at once, then divide each row by its norm: https://aetutor.github.io/aetutor/book/gradient-methods/weights-tied.html#the-flow")
def test_one_step_by_hand(flow_step):
    import numpy as np
    from aetutor.assignments import checks
    B = np.array([[1.0, 0.0], [0.6, 0.8]])
    moved = np.array([[1.0, -0.48], [0.216, 1.088]])
    expected = moved / np.sqrt((moved ** 2).sum(axis=1, keepdims=True))
    got = flow_step(B, checks.function('lambda q: 2 * q'), 0.5)
    checks.close(got, expected, 'flow_step(B, slope, 0.5) for two rows')
