from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q1"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="One of the vessels by hand is different. In the second example the weak one stays dry. Chapter 13, 'Pouring water': https://aetutor.github.io/aetutor/book/beyond-gaussian/water-filling.html")
def test_two_vessels(allocate):
    import numpy as np
    from aetutor.assignments import checks
    for D, n, g, expected in (([2.0, 1.0], 2, 0.5, [1.5, 0.5]), ([4.0, 1.0], 2, 1.0, [2.0, 0.0])):
        got = allocate(np.array(D), n, g)
        checks.close(got, expected, f'allocate({D}, {n}, {g})', rtol=0, atol=0.0001)
