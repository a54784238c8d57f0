from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q3"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="The four images have mean (1, 1), variances 2 and 1/2, and (5, 2) is 4 from the mean in the strong direction. Chapter 14, 'Making them white': https://aetutor.github.io/aetutor/book/beyond-gaussian/real-images.html")
def test_white_by_hand(whiten):
    import numpy as np
    from aetutor.assignments import checks
    fit = np.array([[3.0, 1.0], [-1.0, 1.0], [1.0, 2.0], [1.0, 0.0]])
    got = whiten(fit, np.array([[5.0, 2.0]]), 1)
    z = checks.array(got, 'whiten(fit, [[5, 2]], 1)', (1, 1))
    checks.close(np.abs(z), [[4 / np.sqrt(2)]], '|whiten(fit, [[5, 2]], 1)|')
