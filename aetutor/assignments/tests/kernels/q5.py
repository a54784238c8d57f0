from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q5"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="With t = 0 it is the sign, of gain π/2 − 1. With v = 0, c₁ = 2φ(t) and f(1) = 2(1 − Φ(t)). Chapter 3, 'The gain': https://aetutor.github.io/aetutor/book/model/kernels.html#the-gain")
def test_gain_by_hand(gain):
    import numpy as np
    from aetutor.assignments import checks
    checks.close(gain(0.0, 0.5), np.pi / 2 - 1, 'gain(0, 0.5)', atol=0.0005)
    checks.close(gain(1.0, 0.0), 0.354873, 'gain(1, 0)', atol=0.0005)

@test_case(points=0.5, hidden=False, 
    failure_message="For v = 0 it is the threshold of the best three-level quantiser: chapter 2, 'More levels' and its exercise: https://aetutor.github.io/aetutor/book/model/gaussian-sources.html#more-levels")
def test_three_levels(best_threshold):
    from aetutor.assignments import checks
    checks.close(best_threshold(0.0), 0.612, 'best_threshold(0)', atol=0.004)
