from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q3"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="For one row in the plane the risk is 1 - c1 <b, a> + F |a|²/2. See 'The best decoder': https://aetutor.github.io/aetutor/book/model/population-risk.html#the-best-decoder")
def test_gradient_in_A_one_row(gradients):
    import numpy as np
    from aetutor.assignments import checks
    A, B = (np.array([[1.0], [0.0]]), np.array([[0.6, 0.8]]))
    got = gradients(A, B, 0.5, np.array([[1.0]]), np.array([[np.inf]]))
    checks.holds(got is not None and got is not ..., 'gradients(...): there is no answer yet')
    what = 'gradient in A for A = [[1], [0]], B = [[0.6, 0.8]], c1 = 0.5, F = [[1]]'
    checks.close(got[0], [[0.7], [-0.4]], what)

@test_case(points=0.5, hidden=False, 
    failure_message="Leave out the diagonal, and from each row its component along b_i. See 'The quadratic term': https://aetutor.github.io/aetutor/book/model/population-risk.html#the-quadratic-term")
def test_gradient_in_B_two_rows(gradients):
    import numpy as np
    from aetutor.assignments import checks
    A, B = (np.array([[1.0, 2.0], [0.0, 1.0]]), np.eye(2))
    dF = np.array([[np.inf, 0.25], [0.25, np.inf]])
    got = gradients(A, B, 0.5, np.eye(2), dF)
    checks.holds(got is not None and got is not ..., 'gradients(...): there is no answer yet')
    what = 'gradient in B for A = [[1, 2], [0, 1]], B = F = I, c1 = 0.5, dF = [[inf, 0.25], [0.25, inf]]'
    checks.close(got[1], [[0.0, 0.5], [-0.5, 0.0]], what)
