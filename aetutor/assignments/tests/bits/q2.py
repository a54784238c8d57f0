from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q2"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Multiply the square out and find the lowest point of the parabola. See chapter 2, 'One number, one bit': https://aetutor.github.io/aetutor/book/model/gaussian-sources.html#one-number-one-bit")
def test_q2_by_hand(best_level, one_bit_distortion):
    import numpy as np
    from aetutor.assignments import checks
    x = np.array([1.0, -3.0])
    checks.close(best_level(x), 2.0, 'best_level([1, -3])', rtol=0.001)
    what = 'one_bit_distortion([1, -3])'
    checks.close(one_bit_distortion(x), 1.0, what, rtol=0.001)
    x = np.array([2.0, -2.0, 2.0])
    checks.close(best_level(x), 2.0, 'best_level([2, -2, 2])', rtol=0.001)
    what = 'one_bit_distortion([2, -2, 2])'
    checks.close(one_bit_distortion(x), 0.0, what, atol=0.001)
