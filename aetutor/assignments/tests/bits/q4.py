from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q4"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="See chapter 2, 'More levels': https://aetutor.github.io/aetutor/book/model/gaussian-sources.html#more-levels")
def test_q4_two_points(lloyd_step):
    import numpy as np
    from aetutor.assignments import checks
    got = lloyd_step(np.array([-1.0, 1.0]))
    checks.close(got, [-0.797885, 0.797885], 'lloyd_step([-1, 1])', atol=0.0005)
    got = lloyd_step(np.array([-1.0, 3.0]))
    checks.close(got, [-0.2876, 1.525135], 'lloyd_step([-1, 3])', atol=0.0005)
