from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q1"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="See chapter 2, 'One number, one bit': https://aetutor.github.io/aetutor/book/model/gaussian-sources.html#one-number-one-bit")
def test_q1_by_hand(quantise, distortion):
    import numpy as np
    from aetutor.assignments import checks
    points = np.array([-1.0, 0.0, 4.0])
    x = np.array([-7.0, 0.3, 1.9, 2.1])
    what = 'quantise([-7, 0.3, 1.9, 2.1], [-1, 0, 4])'
    checks.close(quantise(x, points), [-1, 0, 0, 4], what)
    got = distortion(np.array([2.0, 2.0]), np.array([1.0, 5.0]))
    checks.close(got, 5.0, 'distortion([2, 2], [1, 5])')
