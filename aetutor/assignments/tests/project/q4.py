from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q4"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Lengths 1 and 3: mean 2, mean square 5. And with the sign at rate 1 the limit is 1 − 2/π. Chapter 15, 'The price of not seeing scale': https://aetutor.github.io/aetutor/book/beyond-gaussian/where-universality-ends.html")
def test_factor_by_hand(scale_factor, predicted):
    import numpy as np
    from aetutor.assignments import checks
    z = np.array([[0.0, 1.0, 0.0], [1.0, 2.0, -2.0]])
    checks.close(scale_factor(z), 0.8, 'scale_factor([[0, 1, 0], [1, 2, -2]])')
    got = predicted(0.8, 1.0, np.pi / 2 - 1)
    checks.close(got, 1 - 0.8 * 2 / np.pi, 'predicted(0.8, 1, π/2 − 1)')
