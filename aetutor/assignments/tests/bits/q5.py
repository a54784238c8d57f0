from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q5"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="See chapter 2, 'One number, one bit' and 'More levels': https://aetutor.github.io/aetutor/book/model/gaussian-sources.html#more-levels")
def test_q5_by_hand(entropy_and_distortion):
    import numpy as np
    from aetutor.assignments import checks
    got = entropy_and_distortion(np.array([2.0]))
    checks.close(got, [0, 5], 'entropy_and_distortion([2])', atol=0.0001)
    got = entropy_and_distortion(np.array([-1.0, 1.0]))
    checks.close(got, [1, 0.404231], 'entropy_and_distortion([-1, 1])', atol=0.0001)
