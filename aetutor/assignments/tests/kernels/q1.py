from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q1"
points = None

@test_case(points=1, hidden=False, 
    failure_message="x² = 1 + √2 h₂ and x³ = 3 h₁ + √6 h₃. Chapter 3, 'An orthonormal basis for functions of a Gaussian': https://aetutor.github.io/aetutor/book/model/kernels.html#an-orthonormal-basis-for-functions-of-a-gaussian")
def test_polynomials(coefficients):
    import numpy as np
    from aetutor.assignments import checks
    square = coefficients(checks.function('lambda x: x**2'), 2)
    checks.close(square, [1, 0, np.sqrt(2)], 'coefficients(square, 2)', atol=1e-06)
    cube = coefficients(checks.function('lambda x: x**3'), 3)
    checks.close(cube, [0, 3, 0, np.sqrt(6)], 'coefficients(cube, 3)', atol=1e-06)
